//! Writing lines from threads that must not wait, to a place that may be slow.
//!
//! Each [`LineSource`] has a buffer of its own. One thread collects the buffers and writes; it is woken by the first line
//! and then collects every few milliseconds for as long as lines come, so a busy worker makes a system call for
//! waking at most once in that time. A full buffer drops the line and counts it: a slow terminal loses lines, it never
//! stalls traffic. Lines of one source keep their order.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long lines gather before they are written, once the first one has been.
const GATHER: Duration = Duration::from_millis(10);
/// How long the end of a process waits for a slow place.
const FINAL_FLUSH: Duration = Duration::from_secs(2);

/// Collects lines from its sources and writes them on a thread of its own.
///
/// ```
/// use bastide_telemetry::lines::Lines;
/// let lines = Lines::start(std::io::sink(), 1 << 20).unwrap();
/// let source = lines.source();
/// assert!(source.write(b"one line"));
/// assert!(lines.flush(std::time::Duration::from_secs(5)));
/// assert_eq!(lines.dropped(), 0);
/// ```
///
/// Dropping it writes what has gathered, for two seconds at most, and ends the thread.
#[derive(Debug)]
pub struct Lines {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    sources: Mutex<Vec<Arc<Buffer>>>,
    capacity: usize,
    /// Set by the first line after a collection, cleared by the next one.
    pending: AtomicBool,
    dropped: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    woken: bool,
    flush_asked: u64,
    flush_done: u64,
    stop: bool,
}

#[derive(Debug, Default)]
struct Buffer(Mutex<Vec<u8>>);

/// Where one worker puts its lines. A clone shares the buffer.
#[derive(Clone, Debug)]
pub struct LineSource {
    shared: Arc<Shared>,
    buffer: Arc<Buffer>,
}

impl LineSource {
    /// Adds a line; the line break is put behind it. `false` if it was dropped.
    pub fn write(&self, line: &[u8]) -> bool {
        let fits = {
            let mut buffer = locked(&self.buffer.0);
            let fits = buffer.len() + line.len() < self.shared.capacity;
            if fits {
                buffer.extend_from_slice(line);
                buffer.push(b'\n');
            }
            fits
        };
        if !fits {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        // A look before the exchange: while lines are gathering, the flag is only read.
        if !self.shared.pending.load(Ordering::Relaxed)
            && !self.shared.pending.swap(true, Ordering::AcqRel)
        {
            locked(&self.shared.state).woken = true;
            self.shared.changed.notify_all();
        }
        fits
    }
}

impl Lines {
    /// Starts the thread. `capacity` is the most bytes that wait in one source.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub fn start(out: impl Write + Send + 'static, capacity: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            sources: Mutex::default(),
            capacity,
            pending: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("lines".to_owned())
            .spawn(move || run(&of_thread, out))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// A source with a buffer of its own.
    pub fn source(&self) -> LineSource {
        let buffer = Arc::new(Buffer::default());
        locked(&self.shared.sources).push(Arc::clone(&buffer));
        LineSource {
            shared: Arc::clone(&self.shared),
            buffer,
        }
    }

    /// How many lines were dropped, for full buffers and failed writes.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// A way to read [`Lines::dropped`] from elsewhere, such as a metric.
    pub fn drop_counter(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || shared.dropped.load(Ordering::Relaxed)
    }

    /// Waits until every line added before this call is written. `false` if that took longer than `patience`.
    pub fn flush(&self, patience: Duration) -> bool {
        let mut state = locked(&self.shared.state);
        state.flush_asked += 1;
        let mine = state.flush_asked;
        self.shared.changed.notify_all();
        let deadline = Instant::now() + patience;
        while state.flush_done < mine {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = wait(&self.shared, state, left);
        }
        true
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let written = self.flush(FINAL_FLUSH);
        locked(&self.shared.state).stop = true;
        self.shared.changed.notify_all();
        // A thread that hangs in a write cannot be waited for.
        if let (true, Some(thread)) = (written, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

/// Standard output without the buffer and the lock that `println!` shares.
///
/// # Errors
/// When standard output is closed.
pub fn stdout() -> std::io::Result<std::fs::File> {
    use std::os::fd::AsFd;
    let handle = std::io::stdout().as_fd().try_clone_to_owned()?;
    Ok(std::fs::File::from(handle))
}

fn run(shared: &Shared, mut out: impl Write) {
    let mut gathered = Vec::new();
    loop {
        let (flushing, stop) = sleep_until_wanted(shared);
        if !stop && flushing.is_none() {
            gather(shared);
        }
        shared.pending.store(false, Ordering::Release);
        write_out(shared, &mut gathered, &mut out);
        if let Some(number) = flushing {
            let mut state = locked(&shared.state);
            state.flush_done = state.flush_done.max(number);
            drop(state);
            shared.changed.notify_all();
        }
        if stop {
            return;
        }
    }
}

/// Sleeps until there is a line, a flush or the end. Returns the flush to answer, and whether it is the end.
fn sleep_until_wanted(shared: &Shared) -> (Option<u64>, bool) {
    let mut state = locked(&shared.state);
    while !state.woken && !state.stop && state.flush_asked == state.flush_done {
        state = shared
            .changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner);
    }
    state.woken = false;
    let flushing = (state.flush_asked > state.flush_done).then_some(state.flush_asked);
    (flushing, state.stop)
}

/// Lets more lines come, for a moment, or until someone does not want to wait.
fn gather(shared: &Shared) {
    let deadline = Instant::now() + GATHER;
    let mut state = locked(&shared.state);
    while !state.stop && state.flush_asked == state.flush_done {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        state = wait(shared, state, left);
    }
}

fn write_out(shared: &Shared, gathered: &mut Vec<u8>, out: &mut impl Write) {
    let sources = {
        let mut sources = locked(&shared.sources);
        // A source that only this list holds gets no more lines; those it has are written below, once.
        let all = sources.clone();
        sources.retain(|source| Arc::strong_count(source) > 2);
        all
    };
    for source in sources {
        // The full buffer is swapped for an empty one that has its capacity already, so no worker waits for a write.
        std::mem::swap(&mut *locked(&source.0), gathered);
        if gathered.is_empty() {
            continue;
        }
        if out.write_all(gathered).is_err() {
            let lines = gathered.split(|byte| *byte == b'\n').count() - 1;
            shared.dropped.fetch_add(lines as u64, Ordering::Relaxed);
        }
        gathered.clear();
    }
    // Where nothing can be written, there is no one to tell either.
    let _ = out.flush();
}

fn wait<'s>(
    shared: &Shared,
    state: MutexGuard<'s, State>,
    at_most: Duration,
) -> MutexGuard<'s, State> {
    let (state, _) = shared
        .changed
        .wait_timeout(state, at_most)
        .unwrap_or_else(PoisonError::into_inner);
    state
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
