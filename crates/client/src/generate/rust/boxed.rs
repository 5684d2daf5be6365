//! Types that contain themselves, which have no size in Rust unless a box stands between.

use std::collections::{BTreeMap, BTreeSet};

use crate::generate::contract::Contract;
use crate::generate::shape::Shape;

/// The references, as (from, to), that lead back to where they come from without passing a list or a map.
pub(super) fn within(contract: &Contract) -> BTreeSet<(String, String)> {
    let mut direct: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, definition) in &contract.types {
        let found = direct.entry(name).or_default();
        collect(&definition.shape, found);
    }
    let mut boxed = BTreeSet::new();
    for (from, targets) in &direct {
        for to in targets {
            if reaches(&direct, to, from) {
                boxed.insert(((*from).to_owned(), (*to).to_owned()));
            }
        }
    }
    boxed
}

fn collect<'a>(shape: &'a Shape, found: &mut BTreeSet<&'a str>) {
    match shape {
        Shape::Named(name) => drop(found.insert(name)),
        Shape::Tuple(shapes) | Shape::OneOf(shapes) | Shape::All(shapes) => {
            for shape in shapes {
                collect(shape, found);
            }
        }
        Shape::Object(object) => object
            .members
            .iter()
            .for_each(|member| collect(&member.shape, found)),
        _ => {}
    }
}

fn reaches(direct: &BTreeMap<&str, BTreeSet<&str>>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        if name == to {
            return true;
        }
        if seen.insert(name) {
            open.extend(direct.get(name).into_iter().flatten());
        }
    }
    false
}
