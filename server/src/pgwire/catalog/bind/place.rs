//! The order of joins, and each condition at the deepest item that can test it.
//!
//! Items joined by `,` or an inner JOIN are walked in the order that lets most of them be found by hash: first those
//! that an equality with something known narrows. An item that reads its neighbours waits for all before it.

use super::{
    super::plan::{Comparison, Expr, Item, JoinKind, Kind, Leaf, Node},
    from::join,
};
use std::ops::Range;

/// The flat row's columns of each item, in the order of the statement.
type Leaves = [Range<usize>];

/// Orders the joins and places WHERE; gives back the conditions that look at no item at all.
pub(super) fn settle(node: Node, conditions: Vec<Expr>, leaves: &Leaves) -> (Node, Vec<Expr>) {
    if matches!(node, Node::Nothing) {
        return (node, conditions);
    }
    let (constant, conditions) = conditions.into_iter().partition(|condition| needed(condition, leaves) == 0);
    (settled(node, conditions, leaves), constant)
}

fn settled(node: Node, conditions: Vec<Expr>, leaves: &Leaves) -> Node {
    match node {
        Node::Nothing => node,
        Node::Leaf(mut leaf) => {
            conditions.into_iter().for_each(|condition| filter(&mut leaf, condition, leaves));
            Node::Leaf(leaf)
        }
        Node::Join { kind: JoinKind::Inner, .. } => {
            let (mut members, mut conditions) = (Vec::new(), conditions);
            flatten(node, &mut members, &mut conditions);
            chain(members, conditions, leaves)
        }
        Node::Join { kind, left, right, on, .. } => {
            let full = kind == JoinKind::Full;
            let optional = held(&right, leaves);
            let touches_right = |condition: &Expr| full || needed(condition, leaves) & optional != 0;
            // WHERE may thin out the kept side before the join, and only what comes out of it after.
            let (after, before) = conditions.into_iter().partition(touches_right);
            // ON may thin out the optional side, never the kept one.
            let (inside, on) = on.into_iter().partition(|c| !full && touches_right(c));
            Node::Join {
                kind,
                left: Box::new(settled(*left, before, leaves)),
                right: Box::new(settled(*right, inside, leaves)),
                on,
                after,
            }
        }
    }
}

/// The members of a tree of inner joins, in the order of the statement, and all that the joins ask for.
fn flatten(node: Node, members: &mut Vec<Node>, conditions: &mut Vec<Expr>) {
    match node {
        Node::Join { kind: JoinKind::Inner, left, right, on, after } => {
            flatten(*left, members, conditions);
            flatten(*right, members, conditions);
            conditions.extend(on.into_iter().chain(after));
        }
        node => members.push(node),
    }
}

fn chain(members: Vec<Node>, conditions: Vec<Expr>, leaves: &Leaves) -> Node {
    let mut conditions = conditions;
    let mut waiting: Vec<Option<Node>> = members.into_iter().map(Some).collect();
    let (mut known, mut chained) = (0u64, Node::Nothing);
    while let Some(next) = next(&waiting, &conditions, known, leaves) {
        let Some(member) = waiting[next].take() else { break };
        known |= held(&member, leaves);
        let (ready, later) = conditions.into_iter().partition(|c| needed(c, leaves) & !known == 0);
        conditions = later;
        let member = settled(member, ready, leaves);
        chained = match chained {
            Node::Nothing => member,
            chained => join(chained, member),
        };
    }
    // What a correlated sub-query reads is not known: such a condition is tested at the end.
    if let Node::Join { after, .. } = &mut chained {
        after.extend(conditions);
    } else if let Node::Leaf(leaf) = &mut chained {
        leaf.filters.extend(conditions);
    }
    chained
}

/// The first member with a hash look-up from what is known, else the first that may go.
fn next(waiting: &[Option<Node>], conditions: &[Expr], known: u64, leaves: &Leaves) -> Option<usize> {
    let mut candidates = Vec::new();
    for (index, member) in waiting.iter().enumerate() {
        let Some(member) = member else { continue };
        let first_left = candidates.is_empty();
        if first_left || !reads_neighbours(member, leaves) {
            candidates.push((index, member));
        }
    }
    let found = candidates.iter().find(|(_, member)| {
        let entry = entry(member);
        entry.is_some_and(|leaf| conditions.iter().any(|c| lookup(leaf, c, known, leaves).is_some()))
    });
    found.or(candidates.first()).map(|(index, _)| *index)
}

/// The item that is walked first.
fn entry(node: &Node) -> Option<&Leaf> {
    match node {
        Node::Nothing => None,
        Node::Leaf(leaf) => Some(leaf),
        Node::Join { left, .. } => entry(left),
    }
}

/// A call over columns of FROM, or a sub-query that may look at them.
fn reads_neighbours(node: &Node, leaves: &Leaves) -> bool {
    match node {
        Node::Nothing => false,
        Node::Leaf(leaf) => match &leaf.item {
            Item::Relation(_) | Item::Cte(_) => false,
            Item::Query(query) => query.correlated,
            Item::Function { arguments, .. } => arguments.iter().any(|argument| needed(argument, leaves) != 0),
            Item::Scalar { value, .. } => needed(value, leaves) != 0,
        },
        Node::Join { left, right, .. } => reads_neighbours(left, leaves) || reads_neighbours(right, leaves),
    }
}

/// An equality with something known before the item becomes its hash look-up, once; anything else a filter.
fn filter(leaf: &mut Leaf, condition: Expr, leaves: &Leaves) {
    let own = bit(leaf, leaves);
    match lookup(leaf, &condition, !own, leaves) {
        Some(found) if leaf.lookup.is_none() => leaf.lookup = Some(found),
        _ => leaf.filters.push(condition),
    }
}

/// The column (counted within the item) and the key, if the condition equates the two and the key is known.
fn lookup(leaf: &Leaf, condition: &Expr, known: u64, leaves: &Leaves) -> Option<(usize, Expr)> {
    let indexable = match &leaf.item {
        Item::Relation(_) | Item::Cte(_) => true,
        Item::Query(query) => !query.correlated,
        _ => false,
    };
    let Kind::Compare(Comparison::Equal, a, b) = &condition.kind else { return None };
    let own = leaf.offset..leaf.offset + leaf.width;
    let key_of = |column: &Expr, key: &Expr| match column.kind {
        Kind::Column { depth: 0, index } if own.contains(&index) && needed(key, leaves) & !known == 0 => {
            Some((index - leaf.offset, key.clone()))
        }
        _ => None,
    };
    if indexable { key_of(a, b).or_else(|| key_of(b, a)) } else { None }
}

/// The items whose columns an expression reads. A correlated sub-query may read any.
fn needed(expr: &Expr, leaves: &Leaves) -> u64 {
    let mut set = 0;
    expr.walk(&mut |e| match &e.kind {
        Kind::Column { depth: 0, index } => {
            set |= leaves.iter().position(|leaf| leaf.contains(index)).map_or(0, |i| 1u64 << i);
        }
        Kind::Scalar(query) | Kind::Exists(query) | Kind::ArrayOf(query) | Kind::QuantifiedQuery { query, .. }
            if query.correlated =>
        {
            set = u64::MAX;
        }
        _ => {}
    });
    set
}

fn held(node: &Node, leaves: &Leaves) -> u64 {
    match node {
        Node::Nothing => 0,
        Node::Leaf(leaf) => bit(leaf, leaves),
        Node::Join { left, right, .. } => held(left, leaves) | held(right, leaves),
    }
}

fn bit(leaf: &Leaf, leaves: &Leaves) -> u64 {
    leaves.iter().position(|range| range.start == leaf.offset).map_or(0, |i| 1 << i)
}
