//! Starting the gateway, keeping it going, and stopping it.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use bastide_health::{Health, Indicator, Verdict};
use bastide_http1::Limits;
use bastide_rpc::Server;
use bastide_store::Store;
use bastide_telemetry::lines::{LineSource, Lines};
use bastide_telemetry::metrics::Registry;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use crate::admin;
use crate::control::Control;
use crate::data::listen::{ListenError, Sockets};
use crate::data::metrics::Metrics;
use crate::data::phase::{Phase, PhaseCell};
use crate::data::room::Room;
use crate::data::{Clock, Shared, tls, worker};
use crate::front::{self, Front};
use crate::handover::{Inherited, Program, Supervisor, UpgradeError, successor};
use crate::legacy_keys::LegacyVerifier;
use crate::maintenance::{Board, Maintenance};
use crate::settings::{AdminListen, Settings};
use crate::snapshot::{Compiler, Snapshot};
use crate::start::{self, StartError};
use crate::upstream::advice;
use crate::upstream::connect::UpstreamTls;
use crate::upstream::origin::Origins;
use crate::upstream::probe::Prober;
use crate::upstream::{report, trust};

/// How long connections without a request are kept for one more, when another process has taken over. Clients that
/// are at work have used theirs by then; the others are as likely to be met by the end of keep-alive.
const LEAVING: Duration = Duration::from_secs(10);

/// How long requests to the Admin API may take that are under way when its listener is closed.
const CLOSING: Duration = Duration::from_secs(5);

/// How often it is looked whether all are gone.
const LOOK: Duration = Duration::from_millis(20);

/// A gateway that runs.
pub struct Gateway {
    phases: watch::Sender<Phase>,
    phase: Arc<PhaseCell>,
    health: Arc<Health>,
    workers: Vec<JoinHandle<()>>,
    /// The Admin API's own listeners outlive the workers in a stop: they show how it goes.
    admin: Server,
    saving: AbortHandle,
    sockets: Sockets,
    program: Program,
    supervisor: Supervisor,
    settings: Settings,
    /// Where the public listener is; of interest where the port was left to the kernel.
    pub listen: std::net::SocketAddr,
    /// Where the Admin API is, if it has a listener of its own.
    pub admin_listen: Option<std::net::SocketAddr>,
    /// Whether the public listener speaks TLS.
    pub is_tls: bool,
    /// The admin key, if it was made at this start and has to be shown this once.
    pub made_admin_key: Option<String>,
}

impl Gateway {
    /// Starts everything, on the sockets that were handed over or on new ones. Returns when connections are accepted,
    /// and says so to whoever waits for it. Must be called on the control plane's runtime, which is a multi-threaded one, if
    /// only of one thread: large changes are compiled beside its other tasks. Access lines go to `lines`, beside the log's.
    pub async fn start(
        settings: Settings,
        mut inherited: Inherited,
        lines: &Lines,
    ) -> Result<Self, StartError> {
        for setting in &settings.effective {
            tracing::debug!(setting = setting.name, value = setting.shown, origin = %setting.origin, "a setting in use");
        }
        let descriptors = start::raise_descriptor_limit();
        let max_connections = start::max_connections(&settings, descriptors);
        tracing::debug!(max_connections, "so many connections of clients are taken");
        let program = Program::of_this_process();
        let supervisor = Supervisor::of_this_process();
        let ready = inherited.take_ready();
        start::make_data_dir(&settings.data_dir)?;
        let admin_key = start::admin_key(&settings)?;
        let page = start::maintenance_page(settings.maintenance_page.as_deref())?;
        let sockets = Sockets::open(&settings, inherited)?;
        let listen = sockets.public[0].local_addr().map_err(StartError::Socket)?;
        let admin_listen = sockets
            .admin
            .first()
            .map(TcpListener::local_addr)
            .transpose()
            .map_err(StartError::Socket)?;

        let tls = settings
            .tls
            .as_ref()
            .map(tls::server_config)
            .transpose()?
            .map(tokio_rustls::TlsAcceptor::from);

        let roots = trust::roots(settings.upstream_ca.as_deref())?;
        let (store, limiter) = start::stores(&settings)?;
        let loaded = start::load(&settings).await?;
        let registry = Registry::new();
        registry.add_process_metrics();
        registry.add_own_metrics();
        let dropped = lines.drop_counter();
        registry.counters(
            "gateway_log_lines_dropped",
            "Lines of the log and the access log that were lost because standard output was too slow",
            &[],
            move |emit| emit(&[], dropped() as f64),
        );
        let metrics = Arc::new(Metrics::new(&registry));
        let origins = Arc::new(Origins::default());
        let upstream_tls = UpstreamTls::new(&roots);

        let (news, heard) = mpsc::unbounded_channel();
        let compiler = Compiler::new(
            limiter.clone(),
            Arc::clone(&origins),
            settings.redis_url.is_some().then_some(news),
        );
        let snapshot = Arc::new(ArcSwap::from_pointee(compiler.compile(&loaded.state, None)));
        report::register(&registry, &snapshot);
        let (published, publications) = watch::channel(());
        let publish = {
            let (snapshot, metrics) = (Arc::clone(&snapshot), Arc::clone(&metrics));
            move |state: &Arc<crate::model::State>| {
                let next = compiler.compile(state, Some(&snapshot.load()));
                snapshot.store(Arc::new(next));
                let route = |id: &str| {
                    let id = uuid::Uuid::try_parse(id).ok()?;
                    state.routes.get(&id)
                };
                let is_tenant = |id: &str| {
                    uuid::Uuid::try_parse(id).is_ok_and(|id| state.tenants.contains_key(&id))
                };
                metrics.retain(
                    |id| is_tenant(id) || route(id).is_some(),
                    |id, url| {
                        route(id).is_some_and(|route| {
                            let mut upstreams = route.upstreams.iter();
                            upstreams.any(|upstream| upstream.url.as_str() == url)
                        })
                    },
                );
                published.send_replace(());
            }
        };
        let control = Arc::new(Control::new(
            loaded.repository,
            loaded.state,
            loaded.pepper,
            settings.data_dir.join("snapshot.json"),
            !loaded.is_from_disk,
            Box::new(publish),
        ));

        let maintenance = Arc::new(Maintenance::default());
        let health = Arc::new(health(&control, &store, settings.redis_url.is_some()));
        let (upgrades, upgraded) = mpsc::unbounded_channel();
        let board = Board::new(store.clone(), Arc::clone(&maintenance));
        let services = [
            front::probes(Arc::clone(&health), registry.clone()),
            admin::service(Arc::clone(&control), board.clone()),
        ];
        let entry = Arc::new(front::entry(services, &admin_key.key, &registry));
        let front = Front::new(Arc::clone(&entry), Handle::current());
        let phase = Arc::new(PhaseCell::default());
        let shared = Arc::new(Shared {
            snapshot: Arc::clone(&snapshot),
            keys: control.keys().clone(),
            legacy: LegacyVerifier::new(upgrades),
            limiter,
            limits: Limits::default(),
            room: Room::new(max_connections),
            keep_alive: settings.keep_alive_timeout,
            send_timeout: settings.send_timeout,
            trusted: settings.trusted.clone(),
            maintenance: Arc::clone(&maintenance),
            maintenance_page: page,
            front,
            one_listener: settings.admin_listen == AdminListen::Same,
            tls,
            upstream_tls: upstream_tls.clone(),
            metrics,
            phase: Arc::clone(&phase),
            clock: Clock::new(),
        });

        tokio::spawn({
            let control = Arc::clone(&control);
            async move { control.follow().await }
        });
        let saving = tokio::spawn(Arc::clone(&control).save()).abort_handle();
        tokio::spawn(start::rewrite_legacy_keys(Arc::clone(&control), upgraded));
        tokio::spawn(async move { origins.keep_fresh().await });
        tokio::spawn(async move { board.follow().await });
        if settings.redis_url.is_some() {
            tokio::spawn(advice::share(store, Arc::clone(&snapshot), heard));
        }
        tokio::spawn(probe(snapshot, publications, upstream_tls));
        if let Some(file) = settings.config.clone() {
            crate::declare::follow_file(Arc::clone(&control), file)
                .await
                .map_err(StartError::File)?;
        }

        // What loading the configuration took is many times what it is.
        crate::sys::release_memory();
        // From here on nothing fails that could be foreseen: who accepts connections and then ends has lost them.
        let mut admin = Server::new(entry);
        for socket in &sockets.admin {
            let socket = socket.try_clone().map_err(StartError::Socket)?;
            let listening = admin.listen_on(socket);
            listening.map_err(|error| StartError::Socket(io::Error::other(error)))?;
        }
        let (phases, receiver) = watch::channel(Phase::Running);
        let dealt = sockets.deal(settings.workers).map_err(StartError::Socket)?;
        let workers = start_workers(&shared, dealt, &receiver, settings.drain_timeout, || {
            settings.access_log.then(|| lines.source())
        })
        .map_err(StartError::Thread)?;
        ready.say();
        supervisor.say("READY=1");
        Ok(Self {
            phases,
            phase,
            health,
            workers,
            is_tls: settings.tls.is_some(),
            admin,
            saving,
            sockets,
            program,
            supervisor,
            settings,
            listen,
            admin_listen,
            made_admin_key: admin_key
                .was_made
                .then(|| admin_key.key.expose().to_owned()),
        })
    }

    /// Starts the program that now stands where this one was started from, hands it the listening sockets and waits
    /// until it accepts connections. Returns its process's id; what is left to do here is to [`leave`](Self::leave)
    /// and to [`close`](Self::close).
    ///
    /// Dropped before its end, it ends what it started. After an error everything is as before, and it may be tried
    /// again.
    pub async fn upgrade(&self) -> Result<u32, UpgradeError> {
        let (public, admin) = (&self.sockets.public, &self.sockets.admin);
        let patience = self.settings.upgrade_timeout;
        let process = successor::start(&self.program, public, admin, patience).await?;
        self.supervisor.say(&format!("MAINPID={process}"));
        Ok(process)
    }

    /// Leaves new connections to the process that has taken over, by its id. Those that are here may each bring one
    /// more request and are told to close; returns when all are gone, or after ten seconds. `/ready` does not fail
    /// meanwhile, for a load balancer that asks on an old connection asks about both processes.
    pub async fn leave(&mut self, process: u32) {
        // Two processes may write the last good state, but the one that leaves knows it worse.
        self.saving.abort();
        self.go_on_to(Phase::Leaving);
        tracing::info!(
            process,
            "another process has taken over; what is under way here is finished"
        );
        let gone = async {
            self.admin.leave().await;
            while !self.workers.iter().all(JoinHandle::is_finished) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(LEAVING, gone).await.ok();
    }

    /// Stops in order: not ready, then nothing new, then nothing at all. Returns when every request is answered or
    /// the drain timeout is over.
    pub async fn stop(self) {
        tracing::info!(delay = ?self.settings.drain_delay, "draining");
        self.supervisor.say("STOPPING=1");
        self.health.drain();
        self.go_on_to(Phase::Draining);
        tokio::time::sleep(self.settings.drain_delay).await;
        self.close().await;
    }

    /// Takes nothing new. Returns when every request is answered or the drain timeout is over.
    pub async fn close(self) {
        self.go_on_to(Phase::Closing);
        // As long as anybody holds a socket, the kernel goes on queuing connections there.
        drop(self.sockets);
        let workers = self.workers;
        let joined = tokio::task::spawn_blocking(move || {
            for worker in workers {
                // A worker that panicked has said so already.
                worker.join().ok();
            }
        });
        joined.await.ok();
        self.admin.drain(CLOSING).await;
        tracing::info!("stopped");
    }

    fn go_on_to(&self, phase: Phase) {
        self.phase.advance(phase);
        self.phases.send_replace(phase);
    }
}

fn start_workers(
    shared: &Arc<Shared>,
    sockets: Vec<Vec<TcpListener>>,
    phases: &watch::Receiver<Phase>,
    ceiling: Duration,
    access_log: impl Fn() -> Option<LineSource>,
) -> io::Result<Vec<JoinHandle<()>>> {
    sockets
        .into_iter()
        .enumerate()
        .map(|(number, sockets)| {
            let (shared, phases) = (Arc::clone(shared), phases.clone());
            let access_log = access_log();
            std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || worker::run(shared, access_log, sockets, phases, ceiling))
        })
        .collect()
}

/// The database is needed to change the configuration, not to serve it; so is the shared store to count exactly.
fn health(control: &Arc<Control>, store: &Store, is_shared: bool) -> Health {
    let database = Arc::clone(control);
    let health = Health::new(env!("CARGO_PKG_VERSION")).with(
        Indicator::new("database", move || {
            let verdict = if !database.is_repository_reachable() {
                Verdict::unhealthy("the last known configuration is served")
            } else if database.is_disk_failing() {
                Verdict::unhealthy("its disk is full or fails: the configuration cannot be changed")
            } else {
                Verdict::Healthy
            };
            async move { verdict }
        })
        .optional(),
    );
    if !is_shared {
        return health;
    }
    let store = store.clone();
    health.with(
        Indicator::new("redis", move || {
            let store = store.clone();
            async move {
                match store.ping().await {
                    Ok(()) => Verdict::Healthy,
                    Err(error) => Verdict::unhealthy(error.to_string()),
                }
            }
        })
        .optional(),
    )
}

async fn probe(
    snapshot: Arc<ArcSwap<Snapshot>>,
    mut publications: watch::Receiver<()>,
    tls: UpstreamTls,
) {
    let mut prober = Prober::new(tls);
    loop {
        prober.follow(&snapshot.load_full());
        if publications.changed().await.is_err() {
            return;
        }
    }
}

impl From<ListenError> for StartError {
    fn from(error: ListenError) -> Self {
        Self::Listen(error)
    }
}
