//! Bodies on their way through: from a source, piece by piece, into a sink, with backpressure and without ever holding
//! more than one buffer's worth.

use std::task::{Context, Poll, ready};

use bastide_http1::{BodyDecoder, BodyEncoder, BodyError, Step};

use super::buffer::Buffer;
use super::outgoing::Outgoing;
use super::stream::Stream;

/// Why a body did not get through, by side.
#[derive(Debug)]
pub(crate) enum PumpError {
    /// The sender's connection failed.
    Source,
    /// The sender's framing is wrong.
    Framing(BodyError),
    /// The receiver's connection failed.
    Sink,
    /// The body does not fit what its head announced.
    Encode,
}

/// An HTTP/1.1 connection that a body comes from.
pub(crate) struct Source<'a> {
    pub(crate) stream: &'a mut Stream,
    pub(crate) buffer: &'a mut Buffer,
    pub(crate) decoder: &'a mut BodyDecoder,
}

/// An HTTP/1.1 connection that a body goes to.
pub(crate) struct Sink<'a> {
    pub(crate) stream: &'a mut Stream,
    pub(crate) out: &'a mut Outgoing,
    pub(crate) encoder: &'a mut BodyEncoder,
}

/// From this much on a body counts as long, and is read in larger pieces.
const LONG: u64 = 128 * 1024;

/// The larger pieces.
const LONG_ROOM: usize = 64 * 1024;

/// Moves what can be moved now. Ready when the whole body is through and written out. `moved` grows with every byte that
/// came from the source or left to the sink, so that a caller can tell a slow body from a stalled one. `seen` gets each
/// piece of data.
pub(crate) fn poll_pump(
    cx: &mut Context<'_>,
    source: &mut Source<'_>,
    sink: &mut Sink<'_>,
    moved: &mut u64,
    mut seen: impl FnMut(&[u8]),
) -> Poll<Result<(), PumpError>> {
    loop {
        if sink.out.is_full() {
            ready!(poll_flush(cx, sink, moved))?;
        }
        if sink.encoder.is_finished() {
            return poll_flush(cx, sink, moved);
        }
        match source
            .decoder
            .decode(source.buffer.data())
            .map_err(PumpError::Framing)?
        {
            Step::Data { consumed, data } => {
                let data = &source.buffer.data()[data];
                seen(data);
                sink.encoder
                    .encode(data, &mut sink.out.bytes)
                    .map_err(|_| PumpError::Encode)?;
                source.buffer.consume(consumed);
            }
            Step::Done { consumed } => {
                source.buffer.consume(consumed);
                sink.encoder
                    .finish(source.decoder.trailers().iter(), &mut sink.out.bytes)
                    .map_err(|_| PumpError::Encode)?;
            }
            Step::More { consumed } => {
                source.buffer.consume(consumed);
                if *moved > LONG {
                    source.buffer.widen(LONG_ROOM);
                }
                match source.stream.poll_fill(cx, source.buffer) {
                    Poll::Ready(Ok(0)) => {
                        source.decoder.end_of_input().map_err(PumpError::Framing)?;
                    }
                    Poll::Ready(Ok(count)) => *moved += count as u64,
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(PumpError::Source)),
                    Poll::Pending => {
                        // Nothing more for now: what there is goes out at once, an event stream must not wait.
                        let _: Poll<()> = poll_flush(cx, sink, moved)?.map(|()| ());
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

fn poll_flush(
    cx: &mut Context<'_>,
    sink: &mut Sink<'_>,
    moved: &mut u64,
) -> Poll<Result<(), PumpError>> {
    let before = sink.out.pending();
    let polled = sink
        .out
        .poll_flush(cx, sink.stream)
        .map_err(|_| PumpError::Sink);
    *moved += (before - sink.out.pending()) as u64;
    polled
}
