//! `CONSTRAINT name EXPECT (condition) ON VIOLATION action`, in CREATE TABLE and ALTER TABLE.
//!
//! The parser library knows no such clause. It has one of the same shape, `CONSTRAINT name CHECK (condition) ENFORCED`: the
//! tokens are turned into these, each in its place, and the actions are kept beside the parsed statement.
//! `WATERMARK FOR time AS time - INTERVAL '2 min'` becomes an expectation of that name.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};

use super::{near, position};
use crate::quality::Action;
use crate::{Error, Result};

/// The actions of a text's expectations, by the position of the name of each.
pub(super) type Actions = Vec<(usize, Action)>;

/// The name of the expectation that a watermark becomes.
const WATERMARK: &str = "watermark";

/// Turns `WATERMARK FOR time AS expression` into `CONSTRAINT watermark EXPECT (expression) ON VIOLATION WARN`, where it stands after
/// a comma in parentheses.
pub(super) fn take_watermark(tokens: &mut Vec<TokenWithSpan>) {
    let is = |token: &TokenWithSpan, word: &str| {
        matches!(&token.token, Token::Word(found)
            if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
    };
    let dark: Vec<usize> = (0..tokens.len()).filter(|at| !is_space(&tokens[*at])).collect();
    let begins = (1..dark.len()).find(|nth| {
        let at = |ahead: usize| dark.get(nth + ahead).map(|at| &tokens[*at]);
        tokens[dark[nth - 1]].token == Token::Comma
            && at(0).is_some_and(|token| is(token, WATERMARK))
            && at(1).is_some_and(|token| is(token, "for"))
            && at(3).is_some_and(|token| is(token, "as"))
    });
    let Some(nth) = begins else { return };
    let mut depth = 0_usize;
    let end = dark[nth + 4..].iter().copied().find(|at| {
        match tokens[*at].token {
            Token::LParen => depth += 1,
            Token::RParen | Token::Comma | Token::EOF if depth == 0 => return true,
            Token::RParen => depth -= 1,
            _ => {}
        }
        false
    });
    let Some(end) = end else { return };
    let span = tokens[dark[nth]].span;
    let word = |word: &str| TokenWithSpan::new(Token::make_word(word, None), span);
    let keyword = |word: &str| TokenWithSpan::new(Token::make_keyword(word), span);
    let space = || TokenWithSpan::new(Token::Whitespace(Whitespace::Space), span);
    let expression: Vec<TokenWithSpan> = tokens[dark[nth + 3] + 1..end].to_vec();
    let mut instead = vec![keyword("CONSTRAINT"), space(), word(WATERMARK), space(), word("EXPECT")];
    instead.push(TokenWithSpan::new(Token::LParen, span));
    instead.extend(expression);
    instead.push(TokenWithSpan::new(Token::RParen, span));
    instead.extend(["ON", "VIOLATION", "WARN"].into_iter().flat_map(|said| [space(), word(said)]));
    tokens.splice(dark[nth]..end, instead);
}

/// Takes the expectations out of tokens.
///
/// # Errors
/// [`Error::Syntax`] for an expectation without an action.
pub(super) fn take(tokens: &mut [TokenWithSpan], text: &str) -> Result<Actions> {
    let mut actions = Actions::new();
    let dark: Vec<usize> = (0..tokens.len()).filter(|at| !is_space(&tokens[*at])).collect();
    let is = |tokens: &[TokenWithSpan], nth: usize, word: &str| {
        dark.get(nth).is_some_and(|at| {
            matches!(&tokens[*at].token, Token::Word(found)
            if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
        })
    };
    let sign =
        |tokens: &[TokenWithSpan], nth: usize, sign: &Token| dark.get(nth).is_some_and(|at| tokens[*at].token == *sign);
    for nth in 0..dark.len() {
        let begins = is(tokens, nth, "constraint") && is(tokens, nth + 2, "expect");
        if !begins || !sign(tokens, nth + 3, &Token::LParen) {
            continue;
        }
        let Some(end) = closing(tokens, &dark, nth + 3) else { continue };
        let action = [("warn", Action::Warn), ("quarantine", Action::Quarantine), ("fail", Action::Fail)];
        let said = is(tokens, end + 1, "on") && is(tokens, end + 2, "violation");
        let (last, action) = match action.into_iter().find(|(word, _)| is(tokens, end + 3, word)) {
            Some((_, action)) if said => (end + 3, action),
            _ if said && is(tokens, end + 3, "drop") && is(tokens, end + 4, "row") => (end + 4, Action::Drop),
            _ => return Err(without_action(tokens, &dark, end, text)),
        };
        actions.push((position(tokens[dark[nth + 1]].span.start), action));
        tokens[dark[nth + 2]].token = Token::make_keyword("CHECK");
        for at in &dark[end + 1..last] {
            tokens[*at].token = Token::Whitespace(Whitespace::Space);
        }
        tokens[dark[last]].token = Token::make_keyword("ENFORCED");
    }
    Ok(actions)
}

fn is_space(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

/// The parenthesis that closes the one at `open`, both by their number among tokens that are no space.
fn closing(tokens: &[TokenWithSpan], dark: &[usize], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (nth, at) in dark.iter().enumerate().skip(open) {
        match tokens[*at].token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 1 => return Some(nth),
            Token::RParen => depth -= 1,
            Token::SemiColon | Token::EOF => return None,
            _ => {}
        }
    }
    None
}

fn without_action(tokens: &[TokenWithSpan], dark: &[usize], end: usize, text: &str) -> Error {
    let words = ["on", "violation"];
    let is_word = |at: usize, word: &str| matches!(&tokens[at].token, Token::Word(found) if found.value.eq_ignore_ascii_case(word));
    let said =
        words.iter().enumerate().take_while(|(nth, word)| dark.get(end + 1 + nth).is_some_and(|at| is_word(*at, word)));
    let at = end + 1 + said.count();
    let end_of_text = TokenWithSpan::wrap(Token::EOF);
    let token = dark.get(at).map_or(&end_of_text, |at| &tokens[*at]);
    near(token, text).hinted("EXPECT (condition) ON VIOLATION WARN, QUARANTINE, DROP ROW or FAIL.")
}
