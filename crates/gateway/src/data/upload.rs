//! The request's body on its way to whichever upstream is being tried.

use std::task::{Context, Poll};

use bastide_http1::{BodyDecoder, BodyEncoder, Limits, RequestBody, RequestHead};

use super::body::{PumpError, Sink, Source, poll_pump};
use super::client::Client;
use super::outgoing::Outgoing;
use super::replay::Replay;
use crate::upstream::pool::Connection;

pub(crate) struct Upload {
    decoder: BodyDecoder,
    encoder: BodyEncoder,
    framing: RequestBody,
    /// What went out so far, for another attempt.
    pub(crate) replay: Replay,
    /// Bytes that moved.
    moved: u64,
    done: bool,
    /// The client waits for `100 Continue` before it sends.
    expects_continue: bool,
}

impl Upload {
    pub(crate) fn new(head: &RequestHead, limits: &Limits) -> Self {
        let framing = head.body();
        Self {
            decoder: BodyDecoder::new(framing, limits),
            encoder: BodyEncoder::new(framing),
            framing,
            replay: Replay::default(),
            moved: 0,
            done: false,
            expects_continue: head.expects_continue(),
        }
    }

    /// What is left of the body on the client's connection.
    pub(crate) fn into_rest(self) -> BodyDecoder {
        self.decoder
    }

    /// Whether the whole body went up.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Whether the client's connection stands at the end of this request, so that another may follow.
    pub(crate) fn is_drained(&self) -> bool {
        self.decoder.is_done() || self.framing == RequestBody::None
    }

    /// Bytes that moved so far, to tell a slow body from a stalled one.
    pub(crate) fn moved(&self) -> u64 {
        self.moved
    }

    /// Whether the client still waits to be told to go on; it is to be told once.
    pub(crate) fn take_expectation(&mut self) -> bool {
        std::mem::take(&mut self.expects_continue)
    }

    /// Begins again for another attempt: what went out before goes out first.
    pub(crate) fn restart(&mut self, out: &mut Outgoing) {
        self.encoder = BodyEncoder::new(self.framing);
        self.done = false;
        self.encoder
            .encode(self.replay.bytes(), &mut out.bytes)
            .expect("what fitted the announced length once fits it again");
    }

    /// Moves what can be moved now. Ready when all of it is out.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Client,
        connection: &mut Connection,
        out: &mut Outgoing,
    ) -> Poll<Result<(), PumpError>> {
        let mut source = Source {
            stream: &mut client.stream,
            buffer: &mut client.input,
            decoder: &mut self.decoder,
        };
        let mut sink = Sink {
            stream: &mut connection.stream,
            out,
            encoder: &mut self.encoder,
        };
        let polled = poll_pump(cx, &mut source, &mut sink, &mut self.moved, |data| {
            self.replay.record(data);
        });
        self.done |= matches!(polled, Poll::Ready(Ok(())));
        polled
    }
}
