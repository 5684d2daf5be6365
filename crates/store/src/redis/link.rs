//! The ways to Redis: one server, a cluster, or the master that sentinels name.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection, PubSub};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, RedisError,
    RedisResult, TlsMode,
};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::RedisOptions;
use super::failure::{Failure, concerns_connection};
use crate::url::Target;

/// How often the cluster's client follows a key to another node, or tries again, within the time of a call.
const CLUSTER_RETRIES: u32 = 5;
/// Its longest pause in between, milliseconds.
const CLUSTER_PAUSE: u64 = 100;

/// One connection for the operations of everybody, remade when it breaks. Cheap to clone.
#[derive(Clone)]
pub(super) enum Link {
    Server {
        client: Client,
        connection: ConnectionManager,
    },
    Cluster {
        client: Arc<ClusterClient>,
        /// Those that the URL names.
        nodes: Vec<Client>,
        /// Once made it finds the nodes again by itself.
        connection: Arc<Mutex<Option<ClusterConnection>>>,
    },
    Sentinel {
        sentinels: Arc<Mutex<SentinelClient>>,
        connection: Arc<Mutex<Option<Numbered>>>,
        options: RedisOptions,
    },
}

/// A connection that can be told from the one made after it.
#[derive(Clone)]
pub(super) struct Numbered {
    number: u64,
    connection: MultiplexedConnection,
}

impl Link {
    pub(super) fn new(target: Target, options: RedisOptions) -> RedisResult<Self> {
        match target {
            Target::Server(info) => Self::server(info, options),
            Target::Cluster(nodes) => Self::cluster(nodes, options),
            Target::Sentinel {
                sentinels,
                master,
                like,
            } => Self::sentinel(sentinels, &master, &like, options),
        }
    }

    fn server(info: ConnectionInfo, options: RedisOptions) -> RedisResult<Self> {
        let client = Client::open(info)?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(20))
            .set_max_delay(Duration::from_millis(250))
            .set_connection_timeout(Some(options.connect_timeout))
            .set_response_timeout(Some(options.response_timeout));
        let connection = client.get_connection_manager_lazy(config)?;
        Ok(Self::Server { client, connection })
    }

    fn cluster(nodes: Vec<ConnectionInfo>, options: RedisOptions) -> RedisResult<Self> {
        let clients = nodes.iter().cloned().map(Client::open);
        Ok(Self::Cluster {
            nodes: clients.collect::<RedisResult<_>>()?,
            client: ClusterClientBuilder::new(nodes)
                .connection_timeout(attempt(options))
                .response_timeout(options.response_timeout)
                .retries(CLUSTER_RETRIES)
                .max_retry_wait(CLUSTER_PAUSE)
                .tcp_settings(TcpSettings::default().set_nodelay(true))
                .build()?
                .into(),
            connection: Arc::default(),
        })
    }

    fn sentinel(
        sentinels: Vec<ConnectionInfo>,
        master: &str,
        like: &ConnectionInfo,
        options: RedisOptions,
    ) -> RedisResult<Self> {
        let mut node = SentinelNodeConnectionInfo::default()
            .set_redis_connection_info(like.redis_settings().clone())
            .set_tcp_settings(like.tcp_settings().clone());
        if matches!(like.addr(), ConnectionAddr::TcpTls { .. }) {
            node = node.set_tls_mode(TlsMode::Secure);
        }
        let client =
            SentinelClient::build(sentinels, master, Some(node), SentinelServerType::Master)?;
        Ok(Self::Sentinel {
            sentinels: Arc::new(Mutex::new(client)),
            connection: Arc::default(),
            options,
        })
    }

    /// Asks, and waits for the answer no longer than `limit`, connecting included.
    pub(super) async fn query<T: FromRedisValue>(
        &self,
        command: &Cmd,
        limit: Duration,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + limit;
        let late = |_| Failure::late(limit);
        let failed = |error: RedisError| Failure::new(&error, limit);
        match self {
            Self::Server { connection, .. } => {
                let mut connection = connection.clone();
                let asking = command.query_async::<T>(&mut connection);
                timeout_at(deadline, asking)
                    .await
                    .map_err(late)?
                    .map_err(failed)
            }
            Self::Cluster {
                client, connection, ..
            } => {
                let asking = async {
                    let mut connection = connected(client, connection).await?;
                    command.query_async::<T>(&mut connection).await
                };
                timeout_at(deadline, asking)
                    .await
                    .map_err(late)?
                    .map_err(failed)
            }
            Self::Sentinel {
                sentinels,
                connection,
                options,
            } => {
                let connecting = to_master(sentinels, connection, *options);
                let mut current = timeout_at(deadline, connecting)
                    .await
                    .map_err(late)?
                    .map_err(failed)?;
                let asking = command.query_async::<T>(&mut current.connection);
                let answer = timeout_at(deadline, asking).await;
                let is_lost = match &answer {
                    Ok(Ok(_)) => false,
                    Ok(Err(error)) => concerns_connection(error),
                    // It may hang because its server does, and another be the master by now.
                    Err(_) => true,
                };
                // Whoever else holds it is connecting, or finds out as this call did.
                if is_lost && let Ok(mut present) = connection.try_lock() {
                    present.take_if(|present| present.number == current.number);
                }
                answer.map_err(late)?.map_err(failed)
            }
        }
    }

    /// A client of one server that can be written to; `None` for a cluster, which has several.
    pub(super) async fn master(&self) -> RedisResult<Option<Client>> {
        match self {
            Self::Server { client, .. } => Ok(Some(client.clone())),
            Self::Cluster { .. } => Ok(None),
            Self::Sentinel { sentinels, .. } => {
                sentinels.lock().await.async_get_client().await.map(Some)
            }
        }
    }

    /// A connection that listens. In a cluster any node will do: each passes messages on to all.
    pub(super) async fn listen(&self) -> RedisResult<PubSub> {
        let Self::Cluster { nodes, .. } = self else {
            let client = self.master().await?.ok_or_else(no_node)?;
            return client.get_async_pubsub().await;
        };
        let first = fastrand::usize(..nodes.len());
        let mut last = no_node();
        for client in nodes.iter().cycle().skip(first).take(nodes.len()) {
            match client.get_async_pubsub().await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// For one server to be reached, where others may be tried after it within the same call.
fn attempt(options: RedisOptions) -> Duration {
    options.connect_timeout.min(options.response_timeout / 2)
}

fn no_node() -> RedisError {
    RedisError::from((
        redis::ErrorKind::ClusterConnectionNotFound,
        "there is no node",
    ))
}

async fn connected(
    client: &ClusterClient,
    connection: &Mutex<Option<ClusterConnection>>,
) -> RedisResult<ClusterConnection> {
    let mut present = connection.lock().await;
    if let Some(connection) = &*present {
        return Ok(connection.clone());
    }
    let connection = client.get_async_connection().await?;
    Ok(present.insert(connection).clone())
}

async fn to_master(
    sentinels: &Mutex<SentinelClient>,
    connection: &Mutex<Option<Numbered>>,
    options: RedisOptions,
) -> RedisResult<Numbered> {
    let mut present = connection.lock().await;
    if let Some(connection) = &*present {
        return Ok(connection.clone());
    }
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(attempt(options)))
        .set_response_timeout(None);
    let connection = sentinels
        .lock()
        .await
        .get_async_connection_with_config(&config)
        .await?;
    let number = fastrand::u64(..);
    Ok(present.insert(Numbered { number, connection }).clone())
}
