//! That nothing a tenant is told depends on what is another's.

use std::collections::HashMap;

use bastide_auth::Policy;
use bastide_repo::Uuid;
use bastide_rpc::{Access, Entry, Method};
use serde_json::Value as Json;

use super::ACME;
use super::answers::{Said, marks};
use super::caller::{Caller, Reply};
use super::fixtures::{Fixtures, Planted, plant};
use super::inputs;
use super::test_app::TestApp;

/// What [`assert_no_leak`] calls, and how.
///
/// Methods that read are called: those with a path for `GET`, and those whose outputs are kept. Inputs are made of their
/// schemas.
#[derive(Debug, Clone, Default)]
pub struct LeakSearch {
    fixtures: Fixtures,
    inputs: HashMap<String, Vec<Json>>,
    except: Vec<String>,
}

/// What was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Searched {
    /// The methods, `users@1.0.0/find`, in the order of the registry.
    pub methods: Vec<String>,
    /// Those of them whose answer is another each time, so that it was searched and could not be compared.
    pub changing: Vec<String>,
    /// How many answers were looked at.
    pub answers: usize,
}

impl LeakSearch {
    /// Every method that reads.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows are made with these values.
    pub fn fixtures(mut self, fixtures: Fixtures) -> Self {
        self.fixtures = fixtures;
        self
    }

    /// The method of this full name, `users@1.0.0/find`, is called with this input in place of one that is made up; several
    /// times with several. A method that is named here is called also if it has no path for `GET`.
    pub fn input(mut self, method: &str, input: Json) -> Self {
        self.inputs
            .entry(method.to_owned())
            .or_default()
            .push(input);
        self
    }

    /// The method of this full name is not called.
    pub fn except(mut self, method: &str) -> Self {
        self.except.push(method.to_owned());
        self
    }

    fn is_called(&self, entry: &Entry) -> bool {
        let name = entry.full_name();
        let method = entry.method();
        let is_excepted = self.except.iter().any(|except| except == name);
        let is_named = self.inputs.contains_key(name);
        !is_excepted && !method.is_stream() && (is_named || reads(method))
    }
}

fn reads(method: &Method) -> bool {
    let has_get = method
        .rest()
        .is_some_and(|rest| rest.verb() == http::Method::GET);
    has_get || method.cached().is_some()
}

/// Asserts that no method that reads tells a tenant anything of another's rows.
///
/// `acme` gets a row for each entity, in which every text is marked, and calls each method, which also fills whatever is kept
/// between calls. Then a tenant that has nothing calls the same: no mark and no id of `acme`'s rows may stand in an answer. At last
/// the same program is started once more on empty stores; what that tenant is answered there it has to be answered here too, so
/// that a count, an order or an error gives nothing away either. What the test did before with other tenants may stay.
///
/// Streams and routes are not called.
///
/// # Panics
/// With everything that was told, one line each. Also if a method cannot be called by `acme` itself with what is known of its
/// input, if a rate limit was in the way, and if `acme` sees nothing of its own rows in any answer: then nothing was shown.
pub async fn assert_no_leak(app: &TestApp, search: &LeakSearch) -> Searched {
    match Box::pin(look(app, search)).await {
        Ok((searched, told)) if told.is_empty() => searched,
        Ok((_, told)) => panic!("a tenant is told of another:\n- {}", told.join("\n- ")),
        Err(error) => panic!("{error}"),
    }
}

/// One call that every tenant makes.
struct Question<'a> {
    entry: &'a Entry,
    input: Json,
}

async fn look(app: &TestApp, search: &LeakSearch) -> Result<(Searched, Vec<String>), String> {
    let planted = plant(app, &app.cx(ACME), &search.fixtures).await?;
    let questions = questions(app, search, &planted)?;
    let own = ask(app, ACME, &questions).await?;
    let sees_itself = questions.iter().zip(&own);
    let sees_itself = sees_itself
        .filter(|(question, reply)| !marks(reply, &question.input, &planted).is_empty())
        .count();
    answered(&questions, &own)?;
    if sees_itself == 0 {
        return Err(
            "acme sees nothing of its own rows in any answer, so that nothing was shown; give inputs by `LeakSearch::input` that \
             find rows with texts that begin with `planted`"
                .to_owned(),
        );
    }
    // One that nobody has used: its answers are those of who has nothing.
    let onlooker = format!("onlooker-{}", Uuid::new_v4().simple());
    let other = ask(app, &onlooker, &questions).await?;
    let empty = app.start_another().await;
    let empty = empty.map_err(|error| format!("the program cannot be started again: {error:#}"))?;
    let once = ask(&empty, &onlooker, &questions).await?;
    let again = ask(&empty, &onlooker, &questions).await?;

    let mut told = Vec::new();
    let mut searched = Searched {
        methods: Vec::new(),
        changing: Vec::new(),
        answers: other.len(),
    };
    for (place, Question { entry, input }) in questions.iter().enumerate() {
        let name = entry.full_name().to_owned();
        let here = &other[place];
        for mark in marks(here, input, &planted) {
            told.push(format!(
                "`{name}` with {input} tells another tenant of {mark}, which is acme's: {}",
                here.text()
            ));
        }
        let [here, there, twice] = [here, &once[place], &again[place]].map(Said::of);
        if there != twice {
            if !searched.changing.contains(&name) {
                searched.changing.push(name.clone());
            }
        } else if here != there {
            told.push(format!(
                "`{name}` with {input} answers {here:?} to a tenant without rows where acme has some, and {there:?} where nobody has any"
            ));
        }
        if !searched.methods.contains(&name) {
            searched.methods.push(name);
        }
    }
    let stopped = empty.stop().await;
    stopped.map_err(|error| format!("the program did not end in order: {error:#}"))?;
    Ok((searched, told))
}

fn questions<'a>(
    app: &'a TestApp,
    search: &LeakSearch,
    planted: &Planted,
) -> Result<Vec<Question<'a>>, String> {
    let registry = app.registry();
    let known = |name: &&String| {
        registry
            .entries()
            .iter()
            .all(|entry| entry.full_name() != **name)
    };
    if let Some(name) = search.inputs.keys().chain(&search.except).find(known) {
        return Err(format!(
            "there is no method `{name}`; its full name is as `users@1.0.0/find`"
        ));
    }
    let called = registry
        .entries()
        .iter()
        .filter(|entry| search.is_called(entry));
    let mut questions = Vec::new();
    for entry in called {
        let given = search.inputs.get(entry.full_name());
        let inputs = given.cloned();
        let inputs = inputs.unwrap_or_else(|| inputs::of(entry.method(), planted));
        questions.extend(inputs.into_iter().map(|input| Question { entry, input }));
    }
    if questions.is_empty() {
        return Err("the program has no method that reads: nothing could be called".to_owned());
    }
    Ok(questions)
}

/// Each method has to answer its own tenant once at least.
fn answered(questions: &[Question<'_>], replies: &[Reply]) -> Result<(), String> {
    let mut answers: Vec<(&str, bool, String)> = Vec::new();
    for (Question { entry, input }, reply) in questions.iter().zip(replies) {
        let name = entry.full_name();
        let is_success = reply.refusal().is_none();
        match answers.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, succeeds, _)) => *succeeds |= is_success,
            None => answers.push((name, is_success, format!("{input}: {}", reply.text()))),
        }
    }
    let silent = answers.iter().filter(|(_, succeeds, _)| !succeeds);
    let silent: Vec<_> = silent
        .map(|(name, _, last)| format!("`{name}` with {last}"))
        .collect();
    if silent.is_empty() {
        return Ok(());
    }
    Err(format!(
        "methods that do not answer acme itself show nothing; give inputs by `LeakSearch::input`, or leave them out by \
         `LeakSearch::except`:\n- {}",
        silent.join("\n- ")
    ))
}

async fn ask(
    app: &TestApp,
    tenant: &str,
    questions: &[Question<'_>],
) -> Result<Vec<Reply>, String> {
    let mut replies = Vec::new();
    for Question { entry, input } in questions {
        let caller = who_may(app, tenant, entry.method().access());
        let reply = caller.ask(entry.full_name(), input).await;
        if reply.status == 429 {
            return Err(format!(
                "`{}` was called too often to be searched; start the program with `.set(\"rate_limit.enabled\", \"false\")`",
                entry.full_name()
            ));
        }
        replies.push(reply);
    }
    Ok(replies)
}

/// A user of the tenant who has what the policy asks for.
fn who_may<'a>(app: &'a TestApp, tenant: &str, access: &Access) -> Caller<'a> {
    let with = |policy: &Policy| {
        let user = app.as_tenant(tenant);
        let user = policy
            .roles()
            .iter()
            .take(1)
            .fold(user, |user, role| user.role(role));
        policy
            .scopes()
            .iter()
            .fold(user, |user, scope| user.scope(scope))
    };
    match access {
        Access::Public(_) | Access::Signed(_) => app.as_tenant(tenant),
        Access::Known(policy) | Access::Tenant(policy) => with(policy),
    }
}
