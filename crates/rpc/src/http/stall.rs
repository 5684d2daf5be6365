//! A connection whose reader takes nothing is given up, and one that does not begin.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::opening::Opening;

/// A stream on which no write may stand still for longer than this. It bounds what a reader that has gone to sleep can hold,
/// whatever is being sent to it.
pub(super) struct Stalling<S> {
    stream: S,
    opening: Option<Opening>,
    patience: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl<S> Stalling<S> {
    pub(super) fn new(stream: S, opening: Opening, patience: Duration) -> Self {
        Self {
            stream,
            opening: Some(opening),
            patience,
            timer: None,
            is_waiting: false,
        }
    }

    /// What a write came to, or that it has waited too long.
    fn watched<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.is_waiting = false;
            return outcome;
        }
        if !self.is_waiting {
            self.is_waiting = true;
            let until = Instant::now() + self.patience;
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(until),
                None => self.timer = Some(Box::pin(tokio::time::sleep_until(until))),
            }
        }
        let timer = self.timer.as_mut();
        if timer.is_some_and(|timer| timer.as_mut().poll(cx).is_ready()) {
            let error = "the other side takes nothing";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, error)));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let Some(opening) = &mut self.opening else {
            return read;
        };
        match read {
            Poll::Pending => opening.poll_late(cx).map(Err),
            Poll::Ready(Ok(())) => {
                if opening.is_over(&buffer.filled()[before..])? {
                    self.opening = None;
                }
                read
            }
            Poll::Ready(Err(_)) => read,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watched(outcome, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watched(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.watched(outcome, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watched(outcome, cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn s15_who_takes_nothing_is_given_up_and_who_is_slow_is_not() {
        let (mut reader, writer) = duplex(1_000);
        let opening = Opening::new(Duration::from_secs(10), true);
        let mut writer = Stalling::new(writer, opening, Duration::from_secs(10));
        let slow = tokio::spawn(async move {
            let mut buffer = [0; 500];
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_secs(9)).await;
                reader.read_exact(&mut buffer).await.unwrap();
            }
            reader
        });
        let begun = Instant::now();
        writer.write_all(&[7; 10_000]).await.unwrap();
        let reader = slow.await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 180);
        let error = writer.write_all(&[7; 2_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), 190);
        drop(reader);
    }
}
