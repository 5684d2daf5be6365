//! A service that the macro makes is the one that a person would write, and is served as such.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bastide_auth::{Claims, Issuer, Keys, Policy, SigningKey, TenantId, Verifier};
use bastide_cache::{Cache, CacheOptions};
use bastide_config::Secret;
use bastide_context::{Call, Cx, Known, Public};
use bastide_repo::RepoError;
use bastide_rpc::{
    ApiError, Cached, Dispatcher, HttpEntry, HttpOptions, IntoService, LimitRule, Method, Problem,
    RawRequest, RawResponse, Registry, Server, Service, openapi, service,
};
use bastide_store::Store;
use bastide_telemetry::metrics;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http_body_util::BodyExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{app_of, request};

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
struct Note {
    id: u32,
    text: String,
    tags: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewNote {
    text: String,
}

#[derive(Debug, ApiError)]
enum NoteError {
    /// There is no note {0}.
    #[error(status = 404, code = "note_not_found")]
    NotFound(u32),
    #[error(transparent)]
    Repo(#[from] RepoError),
}

#[derive(Default)]
struct Notes {
    texts: Mutex<BTreeMap<u32, String>>,
}

#[service(name = "notes", version = "1.2.0")]
impl Notes {
    /// One note by id.
    ///
    /// As it was a minute ago at most.
    #[rpc(
        auth,
        timeout = "1m30s",
        limit("1000/min", pro = "2000/min"),
        cache(ttl = "60s", tags("note:{id}"))
    )]
    #[get("/notes/{id}")]
    async fn find(
        &self,
        cx: &Cx,
        /// Which one.
        id: u32,
        #[serde(default)] tags: Vec<String>,
        text: Option<String>,
    ) -> Result<Note, NoteError> {
        assert_eq!(cx.tenant().as_str(), "acme");
        let found = self.texts.lock().unwrap().get(&id).cloned();
        let text = found.or(text).ok_or(NoteError::NotFound(id))?;
        Ok(Note { id, text, tags })
    }

    /// Changes a note.
    #[rpc(auth(role = ["admin", "owner"], scope = "notes:write"), invalidates("note:{id}", "notes"))]
    #[put("/notes/{id}")]
    async fn change_text(&self, _cx: &Cx, id: u32, text: String) -> Result<(), NoteError> {
        self.texts.lock().unwrap().insert(id, text);
        Ok(())
    }

    #[rpc(auth(tenant = false))]
    async fn whoami(&self, cx: &Cx<Known>) -> Result<Option<String>, Problem> {
        Ok(cx.actor().map(str::to_owned))
    }

    #[rpc(auth(service), limit = "2/min")]
    async fn count(&self) -> Result<usize, std::convert::Infallible> {
        Ok(self.texts.lock().unwrap().len())
    }

    /// Takes a suggestion.
    #[rpc(public = "anybody may suggest", limit = "2/min", input)]
    #[post("/suggestions")]
    async fn suggest(&self, cx: &Cx<Public>, NewNote { text }: NewNote) -> Result<String, Problem> {
        assert!(cx.identity().is_none());
        Ok(text)
    }

    #[cfg(any())]
    #[rpc(auth)]
    async fn absent(&self, of: NoSuchType) -> Result<(), Problem> {}

    #[rpc(public = "it is empty")]
    async fn r#move(&self) -> Result<(), Problem> {
        self.lost(7)?;
        Ok(())
    }
}

impl Notes {
    fn lost(&self, id: u32) -> Result<(), NoteError> {
        let texts = self.texts.lock().unwrap();
        let lost = texts.contains_key(&id).then_some("notes");
        lost.map_or(Ok(()), |table| Err(RepoError::Stale { table }.into()))
    }
}

impl From<NoteError> for Problem {
    fn from(error: NoteError) -> Self {
        error.into_problem()
    }
}

/// The same without the macro.
fn by_hand(notes: Notes) -> Service {
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct NotesFindInput {
        /// Which one.
        id: u32,
        #[serde(default)]
        tags: Vec<String>,
        text: Option<String>,
    }
    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct NotesChangeTextInput {
        id: u32,
        text: String,
    }
    macro_rules! empty {
        ($($name:ident)*) => { $(
            #[derive(Deserialize, JsonSchema)]
            #[serde(deny_unknown_fields)]
            struct $name {}
        )* };
    }
    empty!(NotesWhoamiInput NotesCountInput NotesMoveInput);

    let notes = Arc::new(notes);
    let [find, change, count, suggest, moved] = std::array::from_fn(|_| notes.clone());
    let rule = |text: &str| LimitRule::parse(text).unwrap();
    let admins = Policy::any_role(&["admin", "owner"]).all_scopes(&["notes:write"]);
    Service::new("notes", "1.2.0")
        .unwrap()
        .method(
            Method::named("find")
                .describe("One note by id.\n\nAs it was a minute ago at most.")
                .get("/notes/{id}")
                .within(Duration::from_secs(90))
                .policy(Policy::identified())
                .limit(rule("1000/min").tier("pro", "2000/min").unwrap())
                .cached(Cached::lasting(Duration::from_mins(1)).tags(["note:{id}"]))
                .handler(move |cx: Cx, input: NotesFindInput| {
                    let notes = find.clone();
                    async move { notes.find(&cx, input.id, input.tags, input.text).await }
                }),
        )
        .method(
            Method::named("change_text")
                .describe("Changes a note.")
                .put("/notes/{id}")
                .policy(admins)
                .invalidates(["note:{id}", "notes"])
                .handler(move |cx: Cx, input: NotesChangeTextInput| {
                    let notes = change.clone();
                    async move { notes.change_text(&cx, input.id, input.text).await }
                }),
        )
        .method(
            Method::named("whoami")
                .policy_without_tenant(Policy::identified())
                .handler(move |cx: Cx<Known>, _: NotesWhoamiInput| {
                    let notes = notes.clone();
                    async move { notes.whoami(&cx).await }
                }),
        )
        .method(
            Method::named("count")
                .policy(Policy::identified().services_only())
                .limit(rule("2/min"))
                .handler(move |_: Cx, _: NotesCountInput| {
                    let notes = count.clone();
                    async move { notes.count().await }
                }),
        )
        .method(
            Method::named("suggest")
                .describe("Takes a suggestion.")
                .post("/suggestions")
                .public("anybody may suggest")
                .limit(rule("2/min"))
                .handler(move |cx: Cx<Public>, input: NewNote| {
                    let notes = suggest.clone();
                    async move { notes.suggest(&cx, input).await }
                }),
        )
        .method(
            Method::named("move")
                .public("it is empty")
                .handler(move |_, _: NotesMoveInput| {
                    let notes = moved.clone();
                    async move { notes.r#move().await }
                }),
        )
}

fn notes() -> Notes {
    let texts = Mutex::new(BTreeMap::from([(7, "seven".to_owned())]));
    Notes { texts }
}

#[test]
fn s14_the_macro_makes_what_a_person_would_write() {
    let by_macro = Registry::new([notes().into_service().unwrap()]).unwrap();
    let by_hand = Registry::new([by_hand(notes()).into_service().unwrap()]).unwrap();
    assert_eq!(
        openapi(&by_macro, "Notes", "1.0.0"),
        openapi(&by_hand, "Notes", "1.0.0")
    );
    let told = |registry: &Registry| -> Vec<String> {
        let methods = registry
            .entries()
            .iter()
            .map(|entry| (entry, entry.method()));
        methods
            .map(|(entry, method)| {
                let tags: Vec<_> = method.invalidates().collect();
                let rules = (
                    method.access(),
                    method.limit(),
                    method.cached(),
                    method.timeout(),
                );
                format!(
                    "{} {:?} {tags:?} {rules:?}",
                    entry.full_name(),
                    method.rest()
                )
            })
            .collect()
    };
    assert_eq!(told(&by_macro), told(&by_hand));
    assert_eq!(by_macro.entries().len(), 6);
}

struct Counter;

#[service(name = "counter", version = "1.0.0")]
impl Counter {
    /// Counts.
    #[rpc(public = "for a test", stream, limit = "100/min", timeout = "5s")]
    #[get("/count/{to}")]
    async fn count(
        &self,
        _: &Cx<Public>,
        to: u32,
    ) -> Result<impl Stream<Item = Result<u32, NoteError>> + use<>, NoteError> {
        if to == 0 {
            return Err(NoteError::NotFound(to));
        }
        Ok(stream::iter((1..=to).map(|number| {
            if number < 3 {
                Ok(number)
            } else {
                Err(NoteError::NotFound(number))
            }
        })))
    }
}

#[tokio::test]
async fn s14_a_macros_method_gives_a_stream() {
    let service = Counter.into_service().unwrap();
    let app = app_of(HttpOptions::default(), |_, _| vec![service]);
    let ask = |to: u32| {
        let request = request("GET", &format!("/count/{to}"), None, Bytes::new());
        app.entry.answer(request, None)
    };
    let events = async |to: u32| {
        let body = ask(to).await.into_body().collect().await.unwrap();
        String::from_utf8(body.to_bytes().into()).unwrap()
    };
    assert_eq!(
        events(2).await,
        "id: 1\ndata: 1\n\nid: 2\ndata: 2\n\nevent: end\ndata: {}\n\n"
    );
    let broken = events(3).await;
    assert!(broken.contains("event: problem\n"), "{broken}");
    assert!(broken.contains("note_not_found"), "{broken}");
    assert_eq!(ask(0).await.status(), 404);
}

struct Files;

#[service(name = "files", version = "1.0.0")]
impl Files {
    /// Counts the bytes of a file.
    #[route(auth(tenant = false), timeout = "1m", limit = "3/min", max_body = 4)]
    #[post("/files/{name}")]
    async fn upload(&self, cx: &Cx<Known>, request: RawRequest) -> Result<RawResponse, NoteError> {
        let actor = cx.actor().unwrap_or_default().to_owned();
        let name = request.head.member("name").unwrap_or_default().to_owned();
        let length = request
            .body
            .whole()
            .await
            .map_err(|_| NoteError::NotFound(0))?
            .len();
        RawResponse::json(&json!([actor, name, length])).map_err(|_| NoteError::NotFound(0))
    }
}

#[tokio::test]
async fn s16_a_macros_route_is_one_like_any_other() {
    let service = Files.into_service().unwrap();
    let app = app_of(HttpOptions::default(), |_, _| vec![service]);
    let token = app.ada().await;
    let ask =
        |token, body: &'static str| app.send(request("POST", "/files/a%20b", token, body.into()));
    assert_eq!(
        ask(Some(token.as_str()), "123").await.json,
        json!(["ada", "a b", 3])
    );
    let too_long = ask(Some(&token), "12345").await.verdict();
    assert_eq!(too_long, (413, "body_too_large".to_owned()));
    assert_eq!(ask(None, "123").await.status, 401);
    ask(Some(&token), "1").await;
    assert_eq!(ask(Some(&token), "1").await.status, 429);
    let registry = Registry::new([Files.into_service().unwrap()]).unwrap();
    let route = registry.routes()[0].route();
    assert_eq!(route.description(), "Counts the bytes of a file.");
    assert_eq!(route.time(), Some(Duration::from_mins(1)));
}

struct Camel;

#[service(name = "camel", version = "1.0.0", rename_all = "camelCase")]
impl Camel {
    #[rpc(public = "for a test")]
    #[get("/camels/{humpCount}")]
    async fn find(&self, hump_count: u32) -> Result<u32, Problem> {
        Ok(hump_count)
    }
}

#[test]
fn s14_members_of_inputs_are_written_as_is_asked_for() {
    let registry = Registry::new([Camel.into_service().unwrap()]).unwrap();
    let document = openapi(&registry, "Camels", "1.0.0");
    let input = &document["components"]["schemas"]["CamelFindInput"];
    assert_eq!(input["required"], json!(["humpCount"]));
}

#[tokio::test]
async fn s21_methods_of_a_service_stay_callable() {
    let acme = TenantId::parse("acme").unwrap();
    let cx = Cx::system("test", Call::new()).for_tenant(acme);
    let notes = notes();
    notes.change_text(&cx, 8, "eight".to_owned()).await.unwrap();
    let found = notes.find(&cx, 8, Vec::new(), None).await.unwrap();
    assert_eq!(found.text, "eight");
    let error = notes.find(&cx, 9, Vec::new(), None).await.unwrap_err();
    assert_eq!(error.to_string(), "There is no note 9.");
}

fn secret() -> Secret {
    Secret::new("a secret of at least thirty-two bytes")
}

fn token(change: impl FnOnce(Claims) -> Claims) -> String {
    let issuer = Issuer::new(SigningKey::hs256(&secret()).unwrap());
    let claims = change(Claims::new("ada").tenant("acme"));
    issuer.sign(&claims).unwrap().expose().to_owned()
}

/// The status and the answer, over a connection of its own.
async fn send(server: std::net::SocketAddr, line: &str, token: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let length = body.len();
    let mut stream = TcpStream::connect(server).await.unwrap();
    let authorization = match token {
        "" => String::new(),
        token => format!("authorization: Bearer {token}\r\n"),
    };
    let request = format!(
        "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n{authorization}\
         content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn s14_methods_of_a_macro_are_served_by_their_policies() {
    let cache = Cache::new(&Store::memory(), CacheOptions::default())
        .await
        .unwrap();
    let registry = Registry::new([notes().into_service().unwrap()]).unwrap();
    let dispatcher = Dispatcher::new(registry, &metrics::Registry::new(), Some(cache))
        .unwrap()
        .verifier(Verifier::new(Keys::hs256(&secret()).unwrap()));
    let mut server = Server::new(HttpEntry::new(Arc::new(dispatcher), HttpOptions::default()));
    let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let (user, admin) = (
        token(|claims| claims),
        token(|claims| claims.role("admin").scope("notes:write")),
    );
    let nothing = Value::Null;
    let find = "POST /rpc/notes/find";

    // A path of its own and RPC are one; members are read as they are declared.
    let note = json!({"id": 7, "text": "seven", "tags": ["a", "b"]});
    let get = "GET /notes/7?tags=a&tags=b";
    assert_eq!(
        send(address, get, &user, &nothing).await,
        (200, note.clone())
    );
    let input = json!({"id": 7, "tags": ["a", "b"]});
    assert_eq!(send(address, find, &user, &input).await, (200, note));
    let wrong = |input: Value| {
        let user = user.clone();
        async move {
            let (status, problem) = send(address, find, &user, &input).await;
            (status, problem["errors"][0].clone())
        }
    };
    let (status, error) = wrong(json!({"id": 7, "of": "umbrella"})).await;
    assert_eq!((status, &error["field"]), (400, &json!("of")));
    let (status, error) = wrong(json!({"text": "x"})).await;
    assert_eq!(
        (status, &error["message"]),
        (400, &json!("missing field `id`"))
    );

    // Who may not, does not get in.
    let code = async |line: &str, token: &str, input: &Value| {
        let (status, answer) = send(address, line, token, input).await;
        (
            status,
            answer["code"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let is = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(code(get, "", &nothing).await, is(401, "token_missing"));
    let change = json!({"text": "changed"});
    let put = "PUT /notes/7";
    assert_eq!(code(put, &user, &change).await, is(403, "role_required"));
    let counted = code("POST /rpc/notes/count", &admin, &nothing).await;
    assert_eq!(counted, is(403, "service_required"));
    assert_eq!(
        send(address, "POST /rpc/notes/whoami", &user, &nothing).await,
        (200, json!("ada"))
    );

    // The error of the method, by its own words.
    let (status, problem) = send(address, "GET /notes/9", &user, &nothing).await;
    assert_eq!((status, &problem["code"]), (404, &json!("note_not_found")));
    assert_eq!(problem["detail"], "There is no note 9.");
    let stale = code("POST /rpc/notes/move", "", &nothing).await;
    assert_eq!(stale, is(409, "stale_version"));

    // What is kept goes when it is said to.
    assert_eq!(
        send(address, put, &admin, &change).await,
        (200, nothing.clone())
    );
    let (_, note) = send(address, get, &user, &nothing).await;
    assert_eq!(note["text"], "changed");

    // A whole input; and no more of them than the limit.
    for _ in 0..2 {
        let input = json!({"text": "more notes"});
        let suggested = send(address, "POST /suggestions", "", &input).await;
        assert_eq!(suggested, (200, json!("more notes")));
    }
    let over = code("POST /suggestions", "", &json!({"text": "more"})).await;
    assert_eq!(over, is(429, "rate_limited"));
    server.drain(Duration::from_secs(1)).await;
}

#[test]
fn s14_all_that_an_error_may_answer_is_declared() {
    let declared: Vec<_> = NoteError::DECLARED
        .iter()
        .map(|one| (one.status, one.code))
        .collect();
    assert_eq!(declared[0], (404, "note_not_found"));
    assert_eq!(declared.len(), 1 + RepoError::DECLARED.len());
    let database =
        || bastide_repo::DbError::Invalid("column \"secret_column\" does not exist".to_owned());
    for error in [
        RepoError::NotFound { table: "notes" },
        RepoError::Conflict {
            table: "notes",
            field: "text".to_owned(),
        },
        RepoError::Reference {
            table: "notes",
            field: "team".to_owned(),
        },
        RepoError::Stale { table: "notes" },
        RepoError::Invalid("a page has 1 to 100 rows".to_owned()),
        RepoError::Unavailable(database()),
        RepoError::DeadlinePassed,
        RepoError::Failed(database()),
    ] {
        let code = error.code();
        let problem = NoteError::from(error).into_problem();
        assert_eq!(problem.code(), code);
        assert!(declared.contains(&(problem.status(), code)), "{problem:?}");
        assert!(
            !problem.to_string().contains("secret_column"),
            "{problem:?}"
        );
    }
}

#[test]
fn s14_a_derived_error_is_an_error() {
    #[derive(Debug, ApiError)]
    enum Outer {
        /// It could not be kept: {0}.
        #[error(status = 503, code = "not_kept")]
        NotKept(#[from] std::io::Error),
        /// The {what:?} of {of:>2} is {{odd}}.
        #[error(status = 400, code = "odd")]
        Odd { what: &'static str, of: u8 },
        #[error(transparent)]
        Note(NoteError),
    }
    let kept = Outer::from(std::io::Error::other("full"));
    assert_eq!(kept.to_string(), "It could not be kept: full.");
    let source = std::error::Error::source(&kept).map(ToString::to_string);
    assert_eq!(source.as_deref(), Some("full"));
    let odd = Outer::Odd { what: "hat", of: 7 };
    assert_eq!(odd.to_string(), "The \"hat\" of  7 is {odd}.");
    let problem = odd.into_problem();
    assert_eq!((problem.status(), problem.code()), (400, "odd"));
    assert_eq!(
        Outer::Note(NoteError::NotFound(3)).to_string(),
        "There is no note 3."
    );
}
