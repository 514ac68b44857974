//! Operators: comparisons find a common type, the rest are functions under a symbol.

use super::{
    super::{
        error::{CatalogError, Result},
        plan::{Comparison, Expr, Kind},
        types::{self, Class, oid},
    },
    Binder,
    expr::{boolean, not},
};
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr as Ast, Spanned};

impl Binder<'_> {
    pub(super) fn binary(&mut self, left: &Ast, op: &BinaryOperator, right: &Ast) -> Result<Expr> {
        match op {
            BinaryOperator::And | BinaryOperator::Or => self.chain(left, op, right),
            _ => {
                let symbol = symbol(op);
                let (a, b) = (self.expr(left)?, self.expr(right)?);
                self.operator(&symbol, a, b).map_err(|error| {
                    // A literal that cannot be read is pointed at itself.
                    let is_literal = error.sqlstate.starts_with("22") && matches!(right, Ast::Value(_));
                    error.at(if is_literal { right.span() } else { left.span() })
                })
            }
        }
    }

    /// `a AND b AND c ...` is one node, however long: the parser nests it to the left without a bound.
    fn chain(&mut self, left: &Ast, op: &BinaryOperator, right: &Ast) -> Result<Expr> {
        let mut members = vec![right];
        let mut rest = left;
        while let Ast::BinaryOp { left, op: inner, right } = rest
            && inner == op
        {
            members.push(right);
            rest = left;
        }
        members.push(rest);
        let place = if *op == BinaryOperator::And { "AND" } else { "OR" };
        let mut conditions = Vec::with_capacity(members.len());
        for member in members.into_iter().rev() {
            conditions.push(self.condition(member, place)?);
        }
        Ok(boolean(if *op == BinaryOperator::And { Kind::And(conditions) } else { Kind::Or(conditions) }))
    }

    pub(super) fn operator(&mut self, symbol: &str, left: Expr, right: Expr) -> Result<Expr> {
        if let Some(comparison) = comparison(symbol) {
            return self.compare(symbol, comparison, left, right);
        }
        if let Some(positive) = symbol.strip_prefix('!').filter(|s| s.starts_with('~')) {
            return self.operator(positive, left, right).map(not);
        }
        if let Some(name) = pattern_function(symbol) {
            return self.call(name, vec![left, right]).map_err(|_| CatalogError::undefined_operator(symbol));
        }
        match symbol {
            "||" => self.concatenate(left, right),
            "+" | "-" | "*" | "/" | "%" | "&" | "|" | "#" | "<<" | ">>" => self.arithmetic(symbol, left, right),
            "@>" => self.call("arraycontains", vec![left, right]),
            "<@" => self.call("arraycontains", vec![right, left]),
            "&&" => self.call("arrayoverlap", vec![left, right]),
            _ => Err(no_operator(symbol, &left, &right)),
        }
    }

    fn compare(&mut self, symbol: &str, comparison: Comparison, left: Expr, right: Expr) -> Result<Expr> {
        // A row compares field by field.
        if let (Kind::Row(a), Kind::Row(b)) = (&left.kind, &right.kind)
            && a.len() == b.len()
            && matches!(comparison, Comparison::Equal | Comparison::NotEqual)
        {
            let mut tests = Vec::new();
            for (a, b) in a.iter().zip(b) {
                tests.push(self.compare("=", Comparison::Equal, a.clone(), b.clone())?);
            }
            let equal = boolean(Kind::And(tests));
            return Ok(if comparison == Comparison::Equal { equal } else { not(equal) });
        }
        let (left, right) = self.comparable(symbol, left, right)?;
        Ok(boolean(Kind::Compare(comparison, Box::new(left), Box::new(right))))
    }

    /// Both sides of a comparison brought to types that are held alike.
    pub(super) fn comparable(&mut self, symbol: &str, left: Expr, right: Expr) -> Result<(Expr, Expr)> {
        let (a, b) = (left.type_oid, right.type_oid);
        let target = match (types::class(a), types::class(b)) {
            (Class::Unknown, Class::Unknown) => oid::TEXT,
            (Class::Unknown, _) => b,
            (_, Class::Unknown) => a,
            (Class::Record, Class::Record) => return Ok((left, right)),
            (Class::Array(x), Class::Array(y)) if x == y => return Ok((left, right)),
            (x, y) if x == y => return Ok((left, right)),
            (Class::Int, Class::Reg) | (Class::Reg, Class::Int) => return Ok((left, right)),
            // A reg* value compared with a name is compared as text only when it was cast to it.
            (Class::Reg, Class::Text) => a,
            (Class::Text, Class::Reg) => b,
            (Class::Char, Class::Text) | (Class::Text, Class::Char) => oid::TEXT,
            _ if types::converts_silently(a, b) => b,
            _ if types::converts_silently(b, a) => a,
            _ => return Err(no_operator(symbol, &left, &right)),
        };
        Ok((self.coerce(left, target)?, self.coerce(right, target)?))
    }

    fn concatenate(&mut self, left: Expr, right: Expr) -> Result<Expr> {
        let is_array = |expr: &Expr| matches!(types::class(expr.type_oid), Class::Array(_));
        match (is_array(&left), is_array(&right)) {
            (true, true) => {
                let (arrays, type_oid) = self.unify("ARRAY", vec![left, right])?;
                self.call("array_cat", arrays).map(|e| Expr { type_oid, ..e })
            }
            (true, false) if right.type_oid == oid::UNKNOWN => {
                let right = self.coerce(right, left.type_oid)?;
                self.call("array_cat", vec![left, right])
            }
            (true, false) => self.call("array_append", vec![left, right]),
            (false, true) => self.call("array_prepend", vec![left, right]),
            (false, false) => {
                let is_text =
                    |expr: &Expr| matches!(types::class(expr.type_oid), Class::Text | Class::Unknown | Class::Char);
                if !is_text(&left) && !is_text(&right) {
                    return Err(no_operator("||", &left, &right));
                }
                // Anything beside a string is written as text.
                let (left, right) = (self.text_of(left)?, self.text_of(right)?);
                self.call("textcat", vec![left, right])
            }
        }
    }

    fn text_of(&mut self, expr: Expr) -> Result<Expr> {
        self.coerce(expr, oid::TEXT)
    }

    fn arithmetic(&mut self, symbol: &str, left: Expr, right: Expr) -> Result<Expr> {
        let (a, b) = (left.type_oid, right.type_oid);
        let timely = |t: u32| matches!(types::class(t), Class::Time) || t == oid::INTERVAL;
        if timely(a) || timely(b) {
            return self.call(&format!("time{symbol}"), vec![left, right]);
        }
        let target = match (types::class(a), types::class(b)) {
            (Class::Unknown, _) => b,
            (_, Class::Unknown) => a,
            (Class::Int, Class::Int) if a != oid::OID && b != oid::OID => {
                types::common([a, b]).ok_or_else(|| no_operator(symbol, &left, &right))?
            }
            (Class::Int, Class::Int) => oid::INT8,
            (Class::Int | Class::Numeric, Class::Numeric) | (Class::Numeric, Class::Int) => oid::NUMERIC,
            (Class::Int | Class::Numeric | Class::Float, Class::Float)
            | (Class::Float, Class::Int | Class::Numeric) => oid::FLOAT8,
            _ => return Err(no_operator(symbol, &left, &right)),
        };
        let (left, right) = (self.coerce(left, target)?, self.coerce(right, target)?);
        self.call(&format!("op{symbol}"), vec![left, right]).map(|e| Expr { type_oid: target, ..e })
    }
}

/// The operator's symbol, `OPERATOR(schema.op)` included.
pub(super) fn symbol(op: &BinaryOperator) -> String {
    match op {
        BinaryOperator::PGCustomBinaryOperator(path) => path.last().cloned().unwrap_or_default(),
        BinaryOperator::NotEq => "<>".to_owned(),
        other => other.to_string(),
    }
}

pub(super) fn comparison(symbol: &str) -> Option<Comparison> {
    Some(match symbol {
        "=" => Comparison::Equal,
        "<>" | "!=" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

pub(super) fn pattern_function(symbol: &str) -> Option<&'static str> {
    Some(match symbol {
        "~" => "textregexeq",
        "~*" => "texticregexeq",
        "~~" => "like",
        "~~*" => "ilike",
        "^@" => "starts_with",
        _ => return None,
    })
}

fn no_operator(symbol: &str, left: &Expr, right: &Expr) -> CatalogError {
    let (left, right) = (types::sql_name(left.type_oid), types::sql_name(right.type_oid));
    CatalogError::undefined_operator(&format!("{left} {symbol} {right}"))
}
