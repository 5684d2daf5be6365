//! Starting the gateway, keeping it going, and stopping it.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use bastide_health::{Health, Indicator, Verdict};
use bastide_http1::Limits;
use bastide_store::Store;
use bastide_telemetry::lines::{LineSource, Lines};
use bastide_telemetry::metrics::Registry;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::admin::AdminApi;
use crate::admin_listener;
use crate::control::Control;
use crate::data::listen::{self, ListenError};
use crate::data::metrics::Metrics;
use crate::data::phase::{Phase, PhaseCell};
use crate::data::{Clock, Shared, tls, worker};
use crate::front::Front;
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

/// A gateway that runs.
pub struct Gateway {
    phases: watch::Sender<Phase>,
    phase: Arc<PhaseCell>,
    health: Arc<Health>,
    workers: Vec<JoinHandle<()>>,
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
    /// Starts everything. Returns when connections are accepted. Must be called on the control plane's runtime. Access lines
    /// go to `lines`, beside the log's.
    pub async fn start(settings: Settings, lines: &Lines) -> Result<Self, StartError> {
        for setting in &settings.effective {
            tracing::debug!(setting = setting.name, value = setting.shown, origin = %setting.origin, "a setting in use");
        }
        start::make_data_dir(&settings.data_dir)?;
        let admin_key = start::admin_key(&settings)?;
        let page = start::maintenance_page(settings.maintenance_page.as_deref())?;
        let sockets = listen::bind(settings.listen, settings.workers, "--listen")?;
        let listen = sockets[0].local_addr().map_err(StartError::Socket)?;
        let admin_socket = match settings.admin_listen {
            AdminListen::At(address) => listen::bind(address, 1, "--admin-listen")?.pop(),
            AdminListen::Same => None,
        };
        let admin_listen = admin_socket
            .as_ref()
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
        let admin = AdminApi::new(Arc::clone(&control), &admin_key.key).with_board(board.clone());
        let front = Front::new(Arc::clone(&health), registry, admin, Handle::current());
        let phase = Arc::new(PhaseCell::default());
        let shared = Arc::new(Shared {
            snapshot: Arc::clone(&snapshot),
            keys: control.keys().clone(),
            legacy: LegacyVerifier::new(Handle::current(), upgrades),
            limiter,
            limits: Limits::default(),
            trusted: settings.trusted.clone(),
            maintenance: Arc::clone(&maintenance),
            maintenance_page: page,
            front: front.clone(),
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
        tokio::spawn(Arc::clone(&control).save());
        tokio::spawn(start::rewrite_legacy_keys(Arc::clone(&control), upgraded));
        tokio::spawn(async move { origins.keep_fresh().await });
        tokio::spawn(async move { board.follow().await });
        if settings.redis_url.is_some() {
            tokio::spawn(advice::share(store, Arc::clone(&snapshot), heard));
        }
        tokio::spawn(probe(snapshot, publications, upstream_tls));
        if let Some(socket) = admin_socket {
            tokio::spawn(admin_listener::serve(socket, front));
        }
        if let Some(file) = settings.config.clone() {
            crate::declare::follow_file(Arc::clone(&control), file)
                .await
                .map_err(StartError::File)?;
        }

        let (phases, receiver) = watch::channel(Phase::Running);
        let workers = start_workers(&shared, sockets, &receiver, settings.drain_timeout, || {
            settings.access_log.then(|| lines.source())
        })
        .map_err(StartError::Thread)?;
        Ok(Self {
            phases,
            phase,
            health,
            workers,
            is_tls: settings.tls.is_some(),
            settings,
            listen,
            admin_listen,
            made_admin_key: admin_key
                .was_made
                .then(|| admin_key.key.expose().to_owned()),
        })
    }

    /// Stops in order: not ready, then nothing new, then nothing at all. Returns when every request is answered or the
    /// drain timeout is over.
    pub async fn stop(self) {
        tracing::info!(delay = ?self.settings.drain_delay, "draining");
        self.health.drain();
        self.go_on_to(Phase::Draining);
        tokio::time::sleep(self.settings.drain_delay).await;
        self.go_on_to(Phase::Closing);
        let workers = self.workers;
        let joined = tokio::task::spawn_blocking(move || {
            for worker in workers {
                // A worker that panicked has said so already.
                worker.join().ok();
            }
        });
        joined.await.ok();
        tracing::info!("stopped");
    }

    fn go_on_to(&self, phase: Phase) {
        self.phase.advance(phase);
        self.phases.send_replace(phase);
    }
}

fn start_workers(
    shared: &Arc<Shared>,
    sockets: Vec<TcpListener>,
    phases: &watch::Receiver<Phase>,
    ceiling: Duration,
    access_log: impl Fn() -> Option<LineSource>,
) -> io::Result<Vec<JoinHandle<()>>> {
    sockets
        .into_iter()
        .enumerate()
        .map(|(number, socket)| {
            let (shared, phases) = (Arc::clone(shared), phases.clone());
            let access_log = access_log();
            std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || worker::run(shared, access_log, vec![socket], phases, ceiling))
        })
        .collect()
}

/// The database is needed to change the configuration, not to serve it; so is the shared store to count exactly.
fn health(control: &Arc<Control>, store: &Store, is_shared: bool) -> Health {
    let database = Arc::clone(control);
    let health = Health::new(env!("CARGO_PKG_VERSION")).with(
        Indicator::new("database", move || {
            let reachable = database.is_repository_reachable();
            async move {
                if reachable {
                    Verdict::Healthy
                } else {
                    Verdict::unhealthy("the last known configuration is served")
                }
            }
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
