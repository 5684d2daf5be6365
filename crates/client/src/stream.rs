//! The items of a stream as they come.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bastide_context::Call;
use futures_util::Stream;
use http::Response;
use hyper::body::{Body as _, Incoming};
use serde::de::DeserializeOwned;
use tokio::time::Sleep;

use crate::client::{Client, decode};
use crate::error::CallError;
use crate::sse::{Event, Reader};
use crate::transport::Transport;

/// Items of a method that answers with a stream. It ends after the service's end, or after the first error: a stream that
/// breaks off is [`CallError::BrokenOff`], never an end. Dropping it ends the call.
///
/// Nothing is read ahead beyond what one read of the connection brings: who takes no items stops the service.
pub struct Items<O> {
    transport: Arc<Transport>,
    body: Incoming,
    reader: Reader,
    events: VecDeque<Event>,
    /// When the answer of the call on whose behalf this is is no longer wanted.
    deadline: Option<Pin<Box<Sleep>>>,
    is_over: bool,
    item: PhantomData<fn() -> O>,
}

impl<O> Items<O> {
    pub(crate) fn new(client: &Client, response: Response<Incoming>) -> Self {
        let deadline = client.call.as_ref().and_then(Call::deadline);
        Self {
            transport: client.transport.clone(),
            body: response.into_body(),
            reader: Reader::new(client.max_answer),
            events: VecDeque::new(),
            deadline: deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline))),
            is_over: false,
            item: PhantomData,
        }
    }

    /// The next event; an error where there is none.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, CallError>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(CallError::TimedOut));
        }
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Ok(event));
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Err(self.transport.broken_off(&error))),
                None => {
                    let reason = "the stream has no end";
                    return Poll::Ready(Err(self.transport.broken_off(&reason)));
                }
            };
            if let Some(bytes) = frame.data_ref() {
                match self.reader.push(bytes) {
                    Ok(events) => self.events.extend(events),
                    Err(error) => return Poll::Ready(Err(CallError::malformed(200, &error))),
                }
            }
        }
    }
}

impl<O: DeserializeOwned> Stream for Items<O> {
    type Item = Result<O, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let event = ready!(self.poll_event(cx));
        let item = event.and_then(|event| read(&event)).transpose();
        self.is_over = !matches!(item, Some(Ok(_)));
        Poll::Ready(item)
    }
}

/// The item of an event; `None` at the end.
fn read<O: DeserializeOwned>(event: &Event) -> Result<Option<O>, CallError> {
    match event.name.as_deref() {
        None => decode(event.data.as_bytes()).map(Some),
        Some("end") => Ok(None),
        Some("problem") => Err(problem(event.data.as_bytes())),
        Some(other) => {
            let reason = format!("an event {other:?} is neither item, problem nor end");
            Err(CallError::malformed(200, &reason))
        }
    }
}

/// The status stands in the document: that of the response was sent before.
fn problem(document: &[u8]) -> CallError {
    #[derive(serde::Deserialize)]
    struct Status {
        status: u16,
    }
    let status = serde_json::from_slice(document).map_or(200, |Status { status }| status);
    CallError::read(status, None, document)
}

impl<O> fmt::Debug for Items<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items")
            .field("is_over", &self.is_over)
            .finish_non_exhaustive()
    }
}
