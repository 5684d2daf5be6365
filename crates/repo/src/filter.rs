//! Which rows.

use std::marker::PhantomData;

use bastide_db::Value;

use crate::statement::Statement;

/// Which rows of an entity's table: made of [columns](crate::Column), put together by `and`, `or` and `not`.
///
/// A filter holds or it does not: what a column that holds nothing is compared with, `not` included, there is no third
/// answer as in SQL.
pub struct Filter<E> {
    node: Node,
    of: PhantomData<fn() -> E>,
}

impl<E> Clone for Filter<E> {
    fn clone(&self) -> Self {
        Self::of(self.node.clone())
    }
}

impl<E> std::fmt::Debug for Filter<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.node.fmt(f)
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Node {
    Compare(&'static str, Comparison, Value),
    IsNull(&'static str),
    In(&'static str, Vec<Value>),
    StartsWith(&'static str, String),
    Contains(&'static str, String),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Comparison {
    Equal,
    Different,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Comparison {
    fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Different => "IS DISTINCT FROM",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }
}

impl<E> Filter<E> {
    pub(crate) fn of(node: Node) -> Self {
        Self {
            node,
            of: PhantomData,
        }
    }

    /// Every row.
    pub fn all() -> Self {
        Self::of(Node::And(Vec::new()))
    }

    /// Both hold.
    pub fn and(self, other: Self) -> Self {
        Self::of(match (self.node, other.node) {
            (Node::And(mut nodes), Node::And(more)) => {
                nodes.extend(more);
                Node::And(nodes)
            }
            (Node::And(mut nodes), node) => {
                nodes.push(node);
                Node::And(nodes)
            }
            (left, right) => Node::And(vec![left, right]),
        })
    }

    /// One of them holds, or both.
    pub fn or(self, other: Self) -> Self {
        Self::of(match (self.node, other.node) {
            (Node::Or(mut nodes), node) => {
                nodes.push(node);
                Node::Or(nodes)
            }
            (left, right) => Node::Or(vec![left, right]),
        })
    }

    /// It does not hold.
    #[expect(
        clippy::should_implement_trait,
        reason = "beside `and` and `or`, which are methods too"
    )]
    pub fn not(self) -> Self {
        Self::of(Node::Not(Box::new(self.node)))
    }

    pub(crate) fn into_node(self) -> Node {
        self.node
    }
}

impl Node {
    pub(crate) fn write(&self, statement: &mut Statement) {
        match self {
            Self::Compare(column, comparison, value) => {
                statement.name(column);
                statement.push(" ").push(comparison.sql()).push(" ");
                statement.param(value.clone());
            }
            Self::IsNull(column) => {
                statement.name(column).push(" IS NULL");
            }
            Self::In(_, values) if values.is_empty() => {
                statement.push("FALSE");
            }
            Self::In(column, values) => {
                statement.name(column).push(" IN (");
                statement.list(values, |statement, value| {
                    statement.param(value.clone());
                });
                statement.push(")");
            }
            Self::StartsWith(column, text) => statement.starts_with(column, text),
            Self::Contains(column, text) => statement.contains(column, text),
            Self::And(nodes) => write_all(statement, nodes, " AND ", "TRUE"),
            Self::Or(nodes) => write_all(statement, nodes, " OR ", "FALSE"),
            // Not `NOT`: of what is unknown that is unknown too.
            Self::Not(node) => {
                statement.push("(");
                node.write(statement);
                statement.push(") IS NOT TRUE");
            }
        }
    }
}

fn write_all(statement: &mut Statement, nodes: &[Node], between: &str, of_none: &str) {
    if nodes.is_empty() {
        statement.push(of_none);
    }
    for (index, node) in nodes.iter().enumerate() {
        if index > 0 {
            statement.push(between);
        }
        statement.push("(");
        node.write(statement);
        statement.push(")");
    }
}
