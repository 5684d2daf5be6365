//! The program that the tests of options start: a shop whose every part can be seen from outside.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bastide::db::values;
use bastide::prelude::*;
use bastide::repo::TenantDb;
use bastide::rpc::{RawRequest, RawResponse};
use bastide::telemetry::metrics::{BYTES, Counter, Gauge, Histogram};
use bastide::{Program, launch};
use futures_util::{StreamExt as _, stream};

/// Something to be sold.
#[api]
#[derive(Debug, Clone, Entity)]
#[entity(table = "goods", tenant, soft_delete, timestamps, audit, version)]
struct Good {
    #[entity(id)]
    id: Uuid,
    name: String,
    stock: i64,
    version: i64,
}

/// The program's own section.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
struct Sign {
    greeting: String,
    #[serde(default)]
    opens_at: u8,
}

#[derive(Debug, ApiError)]
enum ShopError {
    /// there is no such good
    #[error(status = 404, code = "good_not_found")]
    NotFound,
    #[error(transparent)]
    Rows(#[from] RepoError),
}

struct Shop {
    goods: Repo<Good>,
    rows: TenantDb,
    sign: Sign,
    found: Arc<Counter>,
    names: Arc<Histogram>,
}

#[service(name = "shop", version = "1.0.0")]
impl Shop {
    /// What the sign says.
    #[rpc(public = "it hangs outside")]
    #[get("/sign")]
    async fn sign(&self, _cx: &Cx<Public>) -> Result<String, ShopError> {
        Ok(format!("{} {}", self.sign.greeting, self.sign.opens_at))
    }

    /// Who calls.
    #[rpc(auth)]
    #[get("/me")]
    async fn me(&self, cx: &Cx) -> Result<String, ShopError> {
        Ok(cx
            .identity()
            .map_or_else(String::new, |who| who.subject().to_owned()))
    }

    /// Something scarce.
    #[rpc(auth, limit("2/min", pro = "5/min"))]
    #[get("/scarce")]
    async fn scarce(&self, _cx: &Cx) -> Result<(), ShopError> {
        Ok(())
    }

    /// One good.
    #[rpc(auth, cache(ttl = "1h", tags("good:{id}")))]
    #[get("/goods/{id}")]
    async fn find(&self, cx: &Cx, id: Uuid) -> Result<Good, ShopError> {
        self.found.add(1);
        self.goods.find(cx, id).await?.ok_or(ShopError::NotFound)
    }

    /// A new good.
    #[rpc(auth)]
    #[post("/goods")]
    async fn create(&self, cx: &Cx, name: String, stock: i64) -> Result<Good, ShopError> {
        self.names.observe(name.len() as u64);
        let good = Good {
            id: Uuid::now_v7(),
            name,
            stock,
            version: 0,
        };
        Ok(self.goods.insert(cx, good).await?)
    }

    /// Changes a good.
    #[rpc(auth(role = "admin"), invalidates("good:{id}"))]
    #[patch("/goods/{id}")]
    async fn change(&self, cx: &Cx, id: Uuid, patch: GoodPatch) -> Result<Good, ShopError> {
        Ok(self.goods.patch(cx, id, patch).await?)
    }

    /// Takes a good out of the shop.
    #[rpc(auth(role = "admin"), invalidates("good:{id}"))]
    #[delete("/goods/{id}")]
    async fn remove(&self, cx: &Cx, id: Uuid) -> Result<(), ShopError> {
        Ok(self.goods.delete(cx, id).await?)
    }

    /// Every name that a statement without any condition finds.
    #[rpc(auth)]
    #[get("/names")]
    async fn names(&self, cx: &Cx) -> Result<Vec<String>, ShopError> {
        self.rows
            .transaction(cx, async |tx| -> Result<_, RepoError> {
                let rows = tx
                    .query("SELECT name FROM goods ORDER BY name", &[])
                    .await?;
                let names = rows.iter().map(|row| row.get::<String>("name"));
                Ok(names.collect::<Result<_, _>>()?)
            })
            .await
            .map_err(Into::into)
    }

    /// Keeps a connection of the database busy.
    #[rpc(auth)]
    #[post("/hold")]
    async fn hold(&self, cx: &Cx, millis: i64) -> Result<(), ShopError> {
        self.rows
            .transaction(cx, async |tx| -> Result<_, RepoError> {
                let seconds = millis as f64 / 1e3;
                tx.query("SELECT pg_sleep($1)::text AS slept", &values![seconds])
                    .await?;
                Ok(())
            })
            .await
            .map_err(Into::into)
    }

    /// Writes a line that holds what it should not.
    #[rpc(public = "there is nothing to see")]
    #[post("/say")]
    async fn say(
        &self,
        _cx: &Cx<Public>,
        request: String,
        password: String,
    ) -> Result<(), ShopError> {
        tracing::debug!("what nobody asked for");
        tracing::info!(request, password, "said");
        Ok(())
    }

    /// Answers late.
    #[rpc(public = "it hurts nobody")]
    #[post("/dawdle")]
    async fn dawdle(&self, _cx: &Cx<Public>, millis: u64) -> Result<(), ShopError> {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        Ok(())
    }

    /// Holds the runtime's threads for this long, again and again, this many times.
    #[rpc(public = "this is for tests")]
    #[post("/spin")]
    async fn spin(&self, _cx: &Cx<Public>, millis: u64, times: u32) -> Result<(), ShopError> {
        tokio::spawn(async move {
            for _ in 0..times {
                let end = Instant::now() + Duration::from_millis(millis);
                while Instant::now() < end {
                    std::hint::spin_loop();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Ok(())
    }
}

/// Counted while it is under way.
struct Flood(Arc<Gauge>);

impl Flood {
    fn new(open: &Arc<Gauge>) -> Self {
        open.add(1);
        Self(open.clone())
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

async fn shop(app: App) -> Result<()> {
    let shop = Shop {
        goods: app.repo().await?,
        rows: app.database().await?,
        sign: app.section("sign")?,
        found: app
            .metrics()
            .counter("goods_found", "How often a good was looked up"),
        names: app
            .metrics()
            .histogram("goods_name_bytes", "How long names are", BYTES),
    };
    let files = Route::post("/files")
        .describe("Takes a file and says how long it is.")
        .public("this is for tests")
        .handler(|_: Cx<Public>, request: RawRequest| async move {
            let mut body = request.body.stream();
            let mut length = 0;
            while let Some(piece) = body.next().await {
                length += piece?.len();
            }
            RawResponse::json(&length)
        });
    let open = app
        .metrics()
        .gauge("goods_floods", "Responses without end that are under way");
    let flood = Route::post("/flood")
        .describe("Answers without end.")
        .public("this is for tests")
        .handler(move |_: Cx<Public>, _: RawRequest| {
            let flood = Flood::new(&open);
            async move {
                let pieces = stream::unfold(flood, |flood| async {
                    Some((Ok::<_, Problem>(vec![0; 1 << 16].into()), flood))
                });
                Ok::<_, Problem>(RawResponse::stream("application/octet-stream", pieces))
            }
        });
    let files = Service::new("files", "1.0.0")?.route(files).route(flood);
    app.service(shop).service(files).run().await
}

fn main() -> ExitCode {
    let program = Program {
        name: "shop",
        version: "1.2.3",
    };
    launch(program, shop)
}
