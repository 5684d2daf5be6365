//! One open WebSocket: what it reads, what it writes, and the calls between the two.
//!
//! Frames go out through one short queue. A call that has an item waits for room in it, so a reader that takes nothing stops
//! what makes the items; a frame that is not taken in time ends the socket.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bastide_context::Call;
use bastide_telemetry::log::CALLS;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tracing::Instrument as _;

use super::frame::{self, Request};
use crate::dispatch::{Credentials, Dispatcher, Invocation, Outcome};
use crate::http::HttpOptions;
use crate::http::drain::{self, Notice};
use crate::http::head::Head;
use crate::problem::Problem;
use crate::stream::{Items, Output};

/// How many frames wait to be written.
const QUEUE: usize = 16;
/// A socket is mostly idle: more room than this is taken only while a longer frame passes.
const BUFFER: usize = 8 << 10;
/// How long the other side has to take part in closing.
const CLOSING: Duration = Duration::from_secs(5);

pub(super) struct Socket {
    dispatcher: Arc<Dispatcher>,
    options: HttpOptions,
    /// Of the request that opened it.
    head: Arc<Head>,
    /// What calls show from now on.
    credentials: Arc<Credentials>,
    notice: Notice,
    open: OpenCalls,
}

/// The calls that have not had their last frame, and how each is told to end.
type OpenCalls = Arc<Mutex<HashMap<u64, Arc<Notify>>>>;

/// Why no more is read.
enum Ended {
    /// The other side is gone, or as good as gone.
    Gone,
    /// The other side has begun to close.
    ByPeer,
    /// It is to be told this.
    With(CloseCode, &'static str),
}

impl Socket {
    pub(super) fn new(
        dispatcher: Arc<Dispatcher>,
        options: HttpOptions,
        head: Head,
        notice: Notice,
    ) -> Self {
        Self {
            dispatcher,
            options,
            credentials: Arc::new(head.credentials.clone()),
            head: Arc::new(head),
            notice,
            open: OpenCalls::default(),
        }
    }

    fn refusal(&self, id: Option<u64>, problem: &Problem) -> Message {
        refusal(&self.head, id, problem)
    }

    /// Until either side closes.
    pub(super) async fn serve<C>(mut self, connection: C)
    where
        C: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            .max_frame_size(Some(self.options.max_frame))
            .max_message_size(Some(self.options.max_frame));
        let socket = WebSocketStream::from_raw_socket(connection, Role::Server, Some(config)).await;
        let (mut sink, mut frames) = socket.split();
        let (queue, queued) = mpsc::channel(QUEUE);
        let mut notice = self.notice.clone();
        let writer = write(
            &mut sink,
            queued,
            self.options.ping_interval,
            self.options.ping_timeout,
        );
        let reader = async {
            let ended = self.read(&mut frames, &queue).await;
            let closing = close(&ended, &mut frames, &queue);
            if timeout(CLOSING, closing).await.is_err() {
                return Ended::Gone;
            }
            ended
        };
        let ended = tokio::select! {
            ended = reader => ended,
            () = notice.cut() => Ended::Gone,
            // That it has ended, the reader sees by its queue.
            () = async { writer.await; std::future::pending().await } => Ended::Gone,
        };
        if matches!(ended, Ended::With(code, _) if code != CloseCode::Away)
            && let Ok(socket) = sink.reunite(frames)
        {
            // Who does not close its side even now is not waited for.
            let _ = timeout(CLOSING, linger(socket.into_inner())).await;
        }
    }

    async fn read<C>(
        &mut self,
        frames: &mut SplitStream<WebSocketStream<C>>,
        queue: &mpsc::Sender<Message>,
    ) -> Ended
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        // Dropped with this function, and the calls with it.
        let mut calls = JoinSet::new();
        let mut heard = Instant::now();
        loop {
            let is_draining = self.notice.is_draining();
            if is_draining && calls.is_empty() {
                return Ended::With(CloseCode::Away, "draining");
            }
            let silent = heard + self.options.ping_timeout;
            let frame = tokio::select! {
                biased;
                () = queue.closed() => return Ended::Gone,
                Some(_) = calls.join_next() => continue,
                () = self.notice.draining(), if !is_draining => continue,
                frame = timeout_at(silent, frames.next()) => frame,
            };
            let message = match frame {
                Err(_) | Ok(None) => return Ended::Gone,
                Ok(Some(Err(error))) => return broken(&error),
                Ok(Some(Ok(message))) => message,
            };
            heard = Instant::now();
            let refused = match message {
                Message::Text(text) => self.hear(&text, queue, &mut calls),
                Message::Binary(_) => {
                    return Ended::With(CloseCode::Unsupported, "send text frames");
                }
                Message::Close(_) => return Ended::ByPeer,
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => None,
            };
            if let Some(refused) = refused {
                let sent = timeout(self.options.ping_timeout, queue.send(refused)).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return Ended::Gone;
                }
            }
        }
    }

    /// Does what a frame asks for, or gives the answer that it does not.
    fn hear(
        &mut self,
        text: &str,
        queue: &mpsc::Sender<Message>,
        calls: &mut JoinSet<()>,
    ) -> Option<Message> {
        let (id, method, input, timeout) = match Request::read(text) {
            Err(problem) => return Some(self.refusal(None, &problem)),
            Ok(Request::Authenticate(token)) => {
                self.credentials = Arc::new(Credentials::Bearer(token));
                return None;
            }
            Ok(Request::Cancel(id)) => {
                // One that is not open was answered meanwhile.
                if let Some(call) = lock(&self.open).get(&id) {
                    call.notify_one();
                }
                return None;
            }
            Ok(Request::Call {
                id,
                method,
                input,
                timeout,
            }) => (id, method, input, timeout),
        };
        let mut open = lock(&self.open);
        if open.contains_key(&id) {
            // Under the id it would be taken for the answer of the other call.
            let detail = format!("the id {id} is that of a call under way; give each its own");
            return Some(self.refusal(None, &Problem::new(400, "id_in_use", detail)));
        }
        if self.notice.is_draining() {
            return Some(self.refusal(Some(id), &drain::problem()));
        }
        let most = self.options.socket_concurrency;
        if open.len() >= most {
            let detail = format!("{most} calls of this socket are under way; wait for one to end");
            let problem = Problem::new(429, "too_many_calls", detail);
            return Some(self.refusal(Some(id), &problem));
        }
        let cancelled = Arc::new(Notify::new());
        open.insert(id, cancelled.clone());
        let call = OneCall {
            id,
            dispatcher: self.dispatcher.clone(),
            credentials: self.credentials.clone(),
            head: self.head.clone(),
            recheck: self.options.stream_recheck,
            notice: self.notice.clone(),
            queue: queue.clone(),
        };
        let open = self.open.clone();
        calls.spawn(async move {
            let last = tokio::select! {
                biased;
                () = cancelled.notified() => call.refusal(Some(id), &call_cancelled()),
                last = call.run(&method, input, timeout) => last,
            };
            // Its id is free before the last frame can be read, and not before there is room for that frame: so many calls
            // are open, and no more frames wait.
            if let Ok(room) = call.queue.reserve().await {
                lock(&open).remove(&id);
                room.send(last);
            }
        });
        None
    }
}

fn lock(open: &OpenCalls) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Notify>>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Under the id of the request that opened the socket.
fn refusal(head: &Head, id: Option<u64>, problem: &Problem) -> Message {
    frame::problem(id, problem, head.request_id.to_text().as_str())
}

fn call_cancelled() -> Problem {
    Problem::new(499, "cancelled", "the caller cancelled the call")
}

/// What one call needs of its socket.
struct OneCall {
    id: u64,
    dispatcher: Arc<Dispatcher>,
    credentials: Arc<Credentials>,
    head: Arc<Head>,
    recheck: Duration,
    notice: Notice,
    queue: mpsc::Sender<Message>,
}

impl OneCall {
    fn refusal(&self, id: Option<u64>, problem: &Problem) -> Message {
        refusal(&self.head, id, problem)
    }

    /// Carries it out and gives its last frame; those before it are in the queue then. Its lines in the log have its id as
    /// `call`, beside the ids of the request that opened the socket.
    async fn run(&self, method: &str, input: Bytes, granted: Option<Duration>) -> Message {
        let call = self.head.call_of_socket(self.dispatcher.deadline(granted));
        let span = call.span();
        let number = span.in_scope(|| tracing::error_span!(target: CALLS, "frame", call = self.id));
        match self.answer(method, input, call).instrument(number).await {
            Ok(last) => last,
            Err(problem) => self.refusal(Some(self.id), &problem),
        }
    }

    async fn answer(&self, method: &str, input: Bytes, call: Call) -> Result<Message, Problem> {
        let Some(entry) = self.dispatcher.registry().find(method) else {
            let detail = "no method of this name";
            return Err(Problem::new(404, "method_not_found", detail));
        };
        let invocation = Invocation {
            entry,
            input: ready(Ok(input)),
            credentials: &self.credentials,
            call,
            peer: self.head.peer,
        };
        let Outcome { result, quota: _ } = self.dispatcher.dispatch(invocation).await;
        match result? {
            Output::Whole(json) => Ok(frame::output(self.id, &json)),
            Output::Stream(items) => {
                self.relay(items.recheck(self.recheck)).await?;
                Ok(frame::end(self.id))
            }
        }
    }

    async fn relay(&self, mut items: Items) -> Result<(), Problem> {
        let mut notice = self.notice.clone();
        loop {
            let item = tokio::select! {
                biased;
                () = notice.draining() => return Err(drain::problem()),
                item = items.next() => item,
            };
            let Some(json) = item.transpose()? else {
                return Ok(());
            };
            // Without a queue there is no socket: nobody will hear the end either.
            if self.queue.send(frame::item(self.id, &json)).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Writes what is queued, and a ping from time to time, until a close frame is written or the other side takes nothing.
async fn write<C>(
    sink: &mut SplitSink<WebSocketStream<C>, Message>,
    mut queued: mpsc::Receiver<Message>,
    ping_interval: Duration,
    patience: Duration,
) where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let every = ping_interval.max(Duration::from_millis(1));
    let mut pings = interval_at(Instant::now() + every, every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            biased;
            _ = pings.tick() => Message::Ping(Bytes::new()),
            message = queued.recv() => match message {
                Some(message) => message,
                None => return,
            },
        };
        let is_last = matches!(message, Message::Close(_));
        let written = async {
            sink.feed(message).await?;
            // What is queued goes out together.
            if is_last || queued.is_empty() {
                sink.flush().await?;
            }
            Ok::<_, Error>(())
        };
        let is_written = matches!(timeout(patience, written).await, Ok(Ok(())));
        if is_last || !is_written {
            return;
        }
    }
}

/// What the other side is told about a frame that cannot be read.
fn broken(error: &Error) -> Ended {
    match error {
        Error::Capacity(_) => Ended::With(CloseCode::Size, "the frame is too long"),
        Error::Utf8(_) => Ended::With(CloseCode::Invalid, "the text is not UTF-8"),
        Error::Protocol(_) => Ended::With(CloseCode::Protocol, "the frame breaks the protocol"),
        _ => Ended::Gone,
    }
}

/// The part of closing in which both sides take part.
async fn close<C>(
    ended: &Ended,
    frames: &mut SplitStream<WebSocketStream<C>>,
    queue: &mpsc::Sender<Message>,
) where
    C: AsyncRead + AsyncWrite + Unpin,
{
    match ended {
        Ended::Gone => return,
        Ended::ByPeer => {}
        Ended::With(code, reason) => {
            let frame = CloseFrame {
                code: *code,
                reason: (*reason).into(),
            };
            if queue.send(Message::Close(Some(frame))).await.is_err() {
                return;
            }
            // Written.
            queue.closed().await;
        }
    }
    while let Some(Ok(_)) = frames.next().await {}
}

/// What is left of a frame that was refused is taken: a connection that is closed over unread bytes is reset, and the reason
/// is lost with it.
async fn linger(mut connection: impl AsyncRead + AsyncWrite + Unpin) {
    if connection.shutdown().await.is_ok() {
        let mut rest = [0; 4096];
        while matches!(connection.read(&mut rest).await, Ok(1..)) {}
    }
}
