//! The signals that ask a process to stop, and the watch over its end.
//!
//! Both are on a thread and a runtime of their own: code that blocks every thread of the program's runtime can then hold up neither
//! a second signal nor the end.

use std::future::pending;
use std::io;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use bastide_telemetry::lines::Lines;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

/// How much later than the phases of the end the watch ends it: they know better what did not end.
const GRACE: Duration = Duration::from_millis(500);
/// How long the last lines of the log may take when the process is ended.
const LAST_LINES: Duration = Duration::from_secs(1);
/// The exit code when a signal came again.
const CUT_SHORT: i32 = 1;

/// SIGTERM and SIGINT, from the moment this is made.
///
/// With the first of them, or [`Signals::stopping`], the end begins: from then on another signal ends the process at once, and
/// so does the time when all phases of the end should be over.
#[derive(Debug)]
pub(crate) struct Signals {
    first: UnboundedReceiver<&'static str>,
    stopping: UnboundedSender<i32>,
}

/// What the thread has.
struct Watch {
    terminate: Signal,
    interrupt: Signal,
    tell: UnboundedSender<&'static str>,
    stopping: UnboundedReceiver<i32>,
    limit: Duration,
    lines: Arc<Lines>,
}

impl Signals {
    /// `limit`: how long the end may take.
    pub(crate) fn listen(limit: Duration, lines: Arc<Lines>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (tell, first) = unbounded_channel();
        let (stopping, told) = unbounded_channel();
        let watch = {
            // From here on a signal does not end the process.
            let _inside = runtime.enter();
            Watch {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                tell,
                stopping: told,
                limit: limit.saturating_add(GRACE),
                lines,
            }
        };
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || runtime.block_on(watch.run()))?;
        Ok(Self { first, stopping })
    }

    /// The name of the first one.
    pub(crate) async fn first(&mut self) -> &'static str {
        match self.first.recv().await {
            Some(name) => name,
            None => pending().await,
        }
    }

    /// The end begins without a signal; this is the exit code should it have to be cut short.
    pub(crate) fn stopping(&self, code: u8) {
        // The thread is there as long as the process.
        let _ = self.stopping.send(code.into());
    }
}

impl Watch {
    async fn run(mut self) {
        let (mut end, mut code) = (None, 0);
        loop {
            let over = async {
                match end {
                    Some(end) => sleep_until(end).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                name = next(&mut self.terminate, &mut self.interrupt) => {
                    if end.is_some() {
                        let said = format!("{name} came again while stopping: ended at once");
                        self.end_process(&said, CUT_SHORT);
                    }
                    end = Instant::now().checked_add(self.limit);
                    // Nobody listens any more if the end has begun otherwise.
                    let _ = self.tell.send(name);
                }
                Some(told) = self.stopping.recv() => {
                    code = told;
                    end = end.or_else(|| Instant::now().checked_add(self.limit));
                }
                () = over => self.end_process(
                    "the end took longer than shutdown.timeout: something blocks its thread and is cut off",
                    code,
                ),
            }
        }
    }

    /// Past everything that might hang.
    fn end_process(&self, said: &str, code: i32) -> ! {
        tracing::warn!("{said}");
        self.lines.flush(LAST_LINES);
        process::exit(code);
    }
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
