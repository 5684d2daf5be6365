//! Filters, orders, pages, columns and relations.

#![allow(clippy::unwrap_used, reason = "a failed test")]

mod support;

use std::sync::Arc;

use bastide_repo::{Cursor, Filter, Page, Query, Uuid};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use support::{Fixture, Post, Repos, User, tenant, user};

on_both!(
    filters_find_what_a_model_finds,
    pages_go_through_all_rows_once,
    cursors_are_checked,
    only_selected_columns_are_read,
    relations_are_one_query_each,
);

/// A filter, and what it means.
type Model = Arc<dyn Fn(&User) -> bool + Send + Sync>;

#[derive(Clone)]
struct Sample {
    filter: Filter<User>,
    model: Model,
}

impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.filter.fmt(f)
    }
}

fn sample(filter: Filter<User>, model: impl Fn(&User) -> bool + Send + Sync + 'static) -> Sample {
    Sample {
        filter,
        model: Arc::new(model),
    }
}

fn names() -> impl Strategy<Value = String> {
    "[aAbB%_'é]{0,3}"
}

fn samples() -> impl Strategy<Value = Sample> {
    let age = -1..4_i64;
    let leaf = prop_oneof![
        names().prop_map(|n| sample(User::NAME.eq(n.as_str()), move |u| u.name == n)),
        names().prop_map(|n| sample(User::NAME.ne(n.as_str()), move |u| u.name != n)),
        names().prop_map(|n| sample(User::NAME.starts_with(n.as_str()), move |u| u
            .name
            .starts_with(&n))),
        names().prop_map(|n| sample(User::NAME.contains(n.as_str()), move |u| u
            .name
            .contains(&n))),
        names().prop_map(|n| sample(User::NAME.gt(n.as_str()), move |u| u.name > n)),
        age.clone()
            .prop_map(|n| sample(User::AGE.eq(n), move |u| u.age == Some(n))),
        age.clone()
            .prop_map(|n| sample(User::AGE.ne(n), move |u| u.age != Some(n))),
        age.clone()
            .prop_map(|n| sample(User::AGE.lt(n), move |u| u.age.is_some_and(|a| a < n))),
        age.clone()
            .prop_map(|n| sample(User::AGE.ge(n), move |u| u.age.is_some_and(|a| a >= n))),
        prop::collection::vec(age, 0..3)
            .prop_map(|some| sample(User::AGE.in_(some.clone()), move |u| u
                .age
                .is_some_and(|a| some.contains(&a)))),
        Just(sample(User::AGE.is_null(), |u| u.age.is_none())),
        Just(sample(Filter::all(), |_| true)),
    ];
    leaf.prop_recursive(4, 16, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| sample(
                a.filter.and(b.filter),
                move |u| (a.model)(u) && (b.model)(u)
            )),
            (inner.clone(), inner.clone())
                .prop_map(
                    |(a, b)| sample(a.filter.or(b.filter), move |u| (a.model)(u) || (b.model)(u))
                ),
            inner.prop_map(|a| sample(a.filter.not(), move |u| !(a.model)(u))),
        ]
    })
}

async fn people(repos: &Repos, name: &str) -> Vec<User> {
    let texts = ["", "a", "A", "ab", "b%", "_a", "'", "éa", "Aé", "bB"];
    let mut all = Vec::new();
    for (index, text) in texts.iter().cycle().take(30).enumerate() {
        all.push(User {
            name: (*text).to_owned(),
            age: (index % 5 != 4).then_some(index as i64 % 5),
            ..user(&format!("{index}@{name}"))
        });
    }
    repos
        .users
        .insert_many(&tenant(name), all.clone())
        .await
        .unwrap();
    all
}

async fn filters_find_what_a_model_finds(fixture: &Fixture) {
    let repos = Repos::new(fixture).await;
    let all = people(&repos, "a").await;
    people(&repos, "b").await;
    let cx = tenant("a");
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..150 {
        let Sample { filter, model } = samples().new_tree(&mut runner).unwrap().current();
        let mut expected: Vec<Uuid> = all.iter().filter(|u| model(u)).map(|u| u.id).collect();
        expected.sort_unstable();
        let query = Query::new().filter(filter.clone());
        let found = repos.users.list(&cx, query).await.unwrap();
        let found: Vec<Uuid> = found.iter().map(|user| user.id).collect();
        assert_eq!(found, expected, "{filter:?}");
        let count = repos.users.count(&cx, filter).await.unwrap();
        assert_eq!(count as usize, expected.len());
    }
}

async fn pages_go_through_all_rows_once(fixture: &Fixture) {
    let repos = Repos::new(fixture).await;
    let all = people(&repos, "a").await;
    let cx = tenant("a");
    let orders = [
        || Query::<User>::new(),
        || Query::new().sort(User::AGE.ascending()),
        || {
            Query::new()
                .sort(User::AGE.descending())
                .sort(User::NAME.ascending())
        },
        || {
            Query::new()
                .sort(User::CREATED_AT.descending())
                .sort(User::EMAIL.descending())
        },
    ];
    for (index, order) in orders.iter().enumerate() {
        let whole = repos
            .users
            .list(&cx, order().page(Page::first(100)))
            .await
            .unwrap();
        assert_eq!((whole.len(), &whole.next), (all.len(), &None));
        let (mut seen, mut page) = (Vec::new(), Page::first(7));
        loop {
            let found = repos.users.list(&cx, order().page(page)).await.unwrap();
            let next = found.next.clone();
            seen.extend(found);
            let Some(cursor) = next else { break };
            // As a client would bring it back.
            page = Page::after(Cursor::parse(&cursor.to_string()).unwrap(), 7);
        }
        assert_eq!(seen, whole.rows, "order {index}");
        let part = order().page(Page::offset(5, 3));
        assert_eq!(
            repos.users.list(&cx, part).await.unwrap().rows,
            whole.rows[5..8]
        );
    }
    let ages: Vec<Option<i64>> = repos
        .users
        .list(&cx, Query::new().sort(User::AGE.ascending()))
        .await
        .unwrap()
        .iter()
        .map(|user| user.age)
        .collect();
    assert_eq!(
        (ages[0], ages[29]),
        (Some(0), None),
        "absent ones are the greatest"
    );
}

async fn cursors_are_checked(fixture: &Fixture) {
    let repos = Repos::new(fixture).await;
    people(&repos, "a").await;
    let cx = tenant("a");
    let by_age = || Query::<User>::new().sort(User::AGE.ascending());
    let first = repos
        .users
        .list(&cx, by_age().page(Page::first(3)))
        .await
        .unwrap();
    let cursor = first.next.clone().unwrap();
    let other = Query::new().sort(User::NAME.ascending());
    let error = repos
        .users
        .list(&cx, other.page(Page::after(cursor.clone(), 3)))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("another order"), "{error}");
    for text in ["", "x", "W10", "bnVsbA"] {
        assert_eq!(Cursor::parse(text).unwrap_err().code(), "invalid", "{text}");
    }
    for limit in [0, 1_001] {
        let error = repos
            .users
            .list(&cx, by_age().page(Page::first(limit)))
            .await;
        assert_eq!(error.unwrap_err().code(), "invalid");
    }
    // Another tenant's cursor shows one's own rows only.
    let b = tenant("b");
    let of_b = repos.users.list(&b, by_age().page(Page::after(cursor, 3)));
    assert!(of_b.await.unwrap().is_empty());
}

async fn only_selected_columns_are_read(fixture: &Fixture) {
    let repos = Repos::new(fixture).await;
    let all = people(&repos, "a").await;
    let query = Query::new()
        .select((User::EMAIL, User::AGE))
        .filter(User::ID.eq(all[3].id));
    let found = repos.users.list(&tenant("a"), query).await.unwrap();
    let one = &found[0];
    assert_eq!(one.get(User::EMAIL).unwrap(), all[3].email);
    assert_eq!(one.get(User::AGE).unwrap(), all[3].age);
    assert_eq!(one.get(User::NAME).unwrap_err().code(), "invalid");
    let json = serde_json::json!({"email": all[3].email, "age": all[3].age});
    assert_eq!(serde_json::Value::Object(one.to_json()), json);
}

async fn relations_are_one_query_each(fixture: &Fixture) {
    let (repos, cx) = (Repos::new(fixture).await, tenant("a"));
    let users = [user("ada@x"), user("bob@x"), user("eve@x")];
    repos.users.insert_many(&cx, users.clone()).await.unwrap();
    let post = |author: usize, title: &str| Post {
        id: Uuid::now_v7(),
        author_id: users[author].id,
        title: title.to_owned(),
    };
    let posts = [post(0, "one"), post(0, "two"), post(1, "three")];
    repos.posts.insert_many(&cx, posts.clone()).await.unwrap();
    let by_author = repos
        .posts
        .belonging_to(&cx, &users, Post::AUTHOR)
        .await
        .unwrap();
    let titles = |author: usize| -> Vec<&str> {
        let own = by_author.get(&users[author].id);
        own.into_iter()
            .flatten()
            .map(|post| post.title.as_str())
            .collect()
    };
    assert_eq!(titles(0), ["one", "two"]);
    assert_eq!(titles(1), ["three"]);
    assert!(titles(2).is_empty());
    let authors = repos.users.of(&cx, &posts, Post::AUTHOR).await.unwrap();
    assert_eq!(authors.len(), 2);
    assert_eq!(authors[&posts[2].author_id].email, "bob@x");
    let nothing = repos
        .users
        .of(&cx, &[] as &[Post], Post::AUTHOR)
        .await
        .unwrap();
    assert!(nothing.is_empty());
}
