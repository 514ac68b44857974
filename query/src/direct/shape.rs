//! The outer form of a statement that may have a direct plan: one SELECT from one table, and nothing that this module does not
//! name. Every part of the parsed form is named, so that a part that the parser learns later stops the build here.

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, LimitClause, ObjectName, OrderBy, OrderByExpr, OrderByKind, Query, Select, SelectItem,
    SetExpr, TableAlias, TableFactor, TableWithJoins,
};

use crate::lower::folded;

/// The parts of a query that a direct plan is made of.
pub(super) struct Shape<'a> {
    /// Name of the table.
    pub(super) table: String,
    /// What columns of the table may be qualified with.
    pub(super) qualifier: String,
    pub(super) distinct: Once<'a>,
    pub(super) items: &'a [SelectItem],
    pub(super) selection: Option<&'a Expr>,
    pub(super) group_by: &'a [Expr],
    pub(super) order_by: &'a [OrderByExpr],
    pub(super) limit: Option<&'a Expr>,
}

/// Which rows come once only.
pub(super) enum Once<'a> {
    /// Every row comes.
    None,
    /// `DISTINCT`
    Whole,
    /// `DISTINCT ON (...)`
    On(&'a [Expr]),
}

impl<'a> Shape<'a> {
    /// The parts of a query; `None` when it has others.
    pub(super) fn of(query: &'a Query) -> Option<Shape<'a>> {
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        let bare = with.is_none() && fetch.is_none() && locks.is_empty() && for_clause.is_none();
        let plain = settings.is_none() && format_clause.is_none() && pipe_operators.is_empty();
        let (true, true, SetExpr::Select(select)) = (bare, plain, &**body) else { return None };
        let (from, distinct, items, selection, group_by) = of_select(select)?;
        let (table, qualifier) = of_table(from)?;
        let order_by = of_order(order_by.as_ref())?;
        let limit = of_limit(limit_clause.as_ref())?;
        Some(Shape { table, qualifier, distinct, items, selection, group_by, order_by, limit })
    }
}

type Parts<'a> = (&'a TableFactor, Once<'a>, &'a [SelectItem], Option<&'a Expr>, &'a [Expr]);

fn of_select(select: &Select) -> Option<Parts<'_>> {
    let Select {
        select_token: _,
        optimizer_hints,
        distinct,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection,
        exclude,
        into,
        from,
        lateral_views,
        prewhere,
        selection,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having,
        named_window,
        qualify,
        window_before_qualify: _,
        value_table_mode,
        flavor: _,
    } = select;
    let absent = [
        optimizer_hints.is_empty(),
        select_modifiers.is_none(),
        top.is_none(),
        exclude.is_none(),
        into.is_none(),
        lateral_views.is_empty(),
        prewhere.is_none(),
        connect_by.is_empty(),
        cluster_by.is_empty(),
        distribute_by.is_empty(),
        sort_by.is_empty(),
        having.is_none(),
        named_window.is_empty(),
        qualify.is_none(),
        value_table_mode.is_none(),
    ];
    let [TableWithJoins { relation, joins }] = from.as_slice() else { return None };
    if !absent.iter().all(|absent| *absent) || !joins.is_empty() {
        return None;
    }
    let distinct = match distinct {
        None | Some(Distinct::All) => Once::None,
        Some(Distinct::Distinct) => Once::Whole,
        Some(Distinct::On(on)) => Once::On(on),
    };
    let GroupByExpr::Expressions(group_by, modifiers) = group_by else { return None };
    modifiers.is_empty().then_some((relation, distinct, projection, selection.as_ref(), group_by))
}

fn of_table(factor: &TableFactor) -> Option<(String, String)> {
    let TableFactor::Table {
        name,
        alias,
        args,
        with_hints,
        version,
        with_ordinality,
        partitions,
        json_path,
        sample,
        index_hints,
    } = factor
    else {
        return None;
    };
    let plain = args.is_none() && with_hints.is_empty() && version.is_none() && !with_ordinality;
    let plain = plain && partitions.is_empty() && json_path.is_none() && sample.is_none() && index_hints.is_empty();
    let table = plain.then(|| table_name(name))??;
    let qualifier = match alias {
        None => table.clone(),
        Some(TableAlias { explicit: _, name, columns, at: None }) if columns.is_empty() => folded(name),
        Some(_) => return None,
    };
    Some((table, qualifier))
}

fn table_name(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [table] => table.as_ident().map(folded),
        [schema, table] if schema.as_ident().is_some_and(|schema| folded(schema) == "public") => {
            table.as_ident().map(folded)
        }
        _ => None,
    }
}

fn of_order(order_by: Option<&OrderBy>) -> Option<&[OrderByExpr]> {
    match order_by {
        None => Some(&[]),
        Some(OrderBy { kind: OrderByKind::Expressions(keys), interpolate: None }) => {
            keys.iter().all(|key| key.with_fill.is_none()).then_some(keys)
        }
        Some(_) => None,
    }
}

fn of_limit(clause: Option<&LimitClause>) -> Option<Option<&Expr>> {
    match clause {
        None => Some(None),
        Some(LimitClause::LimitOffset { limit, offset: None, limit_by }) if limit_by.is_empty() => Some(limit.as_ref()),
        Some(_) => None,
    }
}
