//! Calls as spans for a collector.

use std::borrow::Cow;

use bastide_auth::{Identity, Kind as CallerKind};
use bastide_context::Call;
use bastide_telemetry::ids::{RequestId, Sampled};
use bastide_telemetry::otlp::{Attribute, Exporter, Kind, Span, Status};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::problem::Problem;
use crate::route::RouteEntry;
use crate::service::Entry;

/// Where the spans of calls go, if they go anywhere.
#[derive(Debug, Default)]
pub(crate) struct Spans(Option<Exporter>);

/// A call that is recorded when it ends.
#[derive(Debug)]
pub(crate) struct Recording {
    exporter: Exporter,
    call: Call,
}

/// What the spans of an entry say of it, beside what became of the call.
type Said = (Cow<'static, str>, Vec<(Cow<'static, str>, Attribute)>);

impl Spans {
    pub(crate) fn to(exporter: Exporter) -> Self {
        Self(Some(exporter))
    }

    /// The call with the decision whether it is recorded, which its own calls take along.
    ///
    /// The word of its caller holds where that one is a service, or the call came from where strangers do not get to. Of
    /// everybody else's calls our ratio chooses: by the id of the trace where that is ours, so that whole traces are chosen, and
    /// else by the span's, for who names the trace could name one that is always recorded.
    pub(crate) fn decide(&self, call: Call, identity: Option<&Identity>) -> Call {
        let caller = call.caller();
        let is_service = || identity.is_some_and(|one| one.kind() == CallerKind::Service);
        let decided = caller
            .filter(|caller| caller.is_believed || is_service())
            .map(|caller| caller.place.sampled());
        let sampled = match (&self.0, caller, decided) {
            (None, _, decided) => decided.unwrap_or(Sampled::No),
            (Some(exporter), Some(_), None) => {
                let drawn = RequestId::from_u128(call.trace().span().into());
                exporter.sampler().decide(drawn, None)
            }
            (Some(exporter), _, decided) => {
                exporter.sampler().decide(call.trace().trace(), decided)
            }
        };
        call.recorded(sampled)
    }

    /// The call, if it may have to be recorded.
    pub(crate) fn watched(&self, call: &Call) -> Option<Call> {
        self.0.is_some().then(|| call.clone())
    }

    /// Of a call about which it is decided: what is to be recorded of it.
    pub(crate) fn begin(&self, call: &Call) -> Option<Recording> {
        let exporter = self.0.as_ref()?;
        (call.trace().sampled() == Sampled::Yes).then(|| Recording {
            exporter: exporter.clone(),
            call: call.clone(),
        })
    }
}

impl Recording {
    pub(crate) fn end_method(self, entry: &Entry, started: Instant, problem: Option<&Problem>) {
        let service = format!("{}@{}", entry.service(), entry.version());
        let attributes = vec![
            ("rpc.system.name".into(), "bastide".into()),
            ("rpc.service".into(), service.into()),
            ("rpc.method".into(), entry.method().name().into()),
        ];
        let status = problem.map_or(200, Problem::status);
        self.end(
            (entry.full_name().to_owned().into(), attributes),
            started,
            status,
            problem,
        );
    }

    pub(crate) fn end_route(
        self,
        entry: &RouteEntry,
        started: Instant,
        outcome: Result<u16, &Problem>,
    ) {
        let rest = entry.route().rest();
        let attributes = vec![
            ("http.request.method".into(), rest.verb().to_string().into()),
            ("http.route".into(), rest.path().into()),
        ];
        let status = outcome.unwrap_or_else(Problem::status);
        let said = (entry.full_name().to_owned().into(), attributes);
        self.end(said, started, status, outcome.err());
    }

    /// As servers have it, what went wrong at the caller's is no error of the span.
    fn end(self, said: Said, started: Instant, status: u16, problem: Option<&Problem>) {
        let (name, mut attributes) = said;
        let code = i64::from(status).into();
        attributes.push(("http.response.status_code".into(), code));
        if let Some(problem) = problem {
            attributes.push(("error.type".into(), problem.code().into()));
        }
        let end = Timestamp::now();
        let place = self.call.trace();
        self.exporter.record(Span {
            trace: place.trace(),
            id: place.span(),
            parent: self.call.caller().map(|caller| caller.place.span()),
            name,
            kind: Kind::Server,
            start: end.checked_sub(started.elapsed()).unwrap_or(end),
            end,
            attributes,
            status: match problem.filter(|problem| problem.status() >= 500) {
                Some(problem) => Status::Error(problem.detail().to_owned().into()),
                None => Status::Unset,
            },
        });
    }
}
