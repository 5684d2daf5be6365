//! What is tried with the rows of one entity, whose type only its repository knows.

use std::any::TypeId;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

use bastide_context::{Cx, Tenant};
use bastide_repo::{Column, Entity, Filter, Query, Repo, RepoError, Row, Table, TenantDb, Value};
use futures_util::future::LocalBoxFuture;

/// The entities whose repositories a program has asked for.
#[derive(Debug, Default)]
pub(crate) struct Probes(Mutex<Vec<(TypeId, Arc<dyn Probe>)>>);

impl Probes {
    pub(crate) fn add<E: Entity>(&self) {
        let mut probes = self.0.lock().expect("nobody panics while holding it");
        // By type: two entities may have one table, and only one of them be right.
        let id = TypeId::of::<E>();
        if !probes.iter().any(|(known, _)| *known == id) {
            probes.push((id, Arc::new(Of::<E>(PhantomData))));
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<dyn Probe>> {
        let probes = self.0.lock().expect("nobody panics while holding it");
        probes.iter().map(|(_, probe)| probe.clone()).collect()
    }
}

/// What somebody who should reach nothing has reached, in words.
pub(super) type Reached = Vec<String>;

type Answer<'a, T> = LocalBoxFuture<'a, Result<T, RepoError>>;

/// An entity. Rows are given as they are read, because an entity need not be `Clone`.
pub(crate) trait Probe: Debug + Send + Sync {
    fn table(&self) -> &'static Table;

    /// Puts the row into the table.
    fn insert<'a>(&'a self, db: &'a TenantDb, cx: &'a Cx<Tenant>, row: &'a Row) -> Answer<'a, ()>;

    /// The values of the row that has this one's id.
    fn find<'a>(
        &'a self,
        db: &'a TenantDb,
        cx: &'a Cx<Tenant>,
        row: &'a Row,
    ) -> Answer<'a, Option<Vec<Value>>>;

    /// How many rows there are.
    fn count<'a>(&'a self, db: &'a TenantDb, cx: &'a Cx<Tenant>) -> Answer<'a, u64>;

    /// Tries everything that a repository can do with a row, which should be somebody else's.
    fn reach<'a>(
        &'a self,
        db: &'a TenantDb,
        cx: &'a Cx<Tenant>,
        row: &'a Row,
    ) -> Answer<'a, Reached>;
}

struct Of<E>(PhantomData<fn() -> E>);

impl<E: Entity> Debug for Of<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Probe").field(&E::TABLE.name).finish()
    }
}

impl<E: Entity> Probe for Of<E> {
    fn table(&self) -> &'static Table {
        E::TABLE
    }

    fn insert<'a>(&'a self, db: &'a TenantDb, cx: &'a Cx<Tenant>, row: &'a Row) -> Answer<'a, ()> {
        Box::pin(async move {
            let (repo, entity) = (db.repo::<E>(), E::from_row(row)?);
            let insert = async |tx: &_| repo.insert(tx, entity).await.map(drop);
            db.transaction(cx, insert).await
        })
    }

    fn find<'a>(
        &'a self,
        db: &'a TenantDb,
        cx: &'a Cx<Tenant>,
        row: &'a Row,
    ) -> Answer<'a, Option<Vec<Value>>> {
        Box::pin(async move {
            let (repo, id) = (db.repo::<E>(), E::from_row(row)?.id().clone());
            let found = db.transaction(cx, async |tx| repo.find(tx, id).await);
            Ok(found.await?.map(|entity| entity.values()))
        })
    }

    fn count<'a>(&'a self, db: &'a TenantDb, cx: &'a Cx<Tenant>) -> Answer<'a, u64> {
        Box::pin(async move {
            let repo = db.repo::<E>();
            db.transaction(cx, async |tx| repo.count(tx, Filter::all()).await)
                .await
        })
    }

    fn reach<'a>(
        &'a self,
        db: &'a TenantDb,
        cx: &'a Cx<Tenant>,
        row: &'a Row,
    ) -> Answer<'a, Reached> {
        Box::pin(async move {
            let mut reached = read::<E>(db, cx, row).await?;
            reached.extend(write::<E>(db, cx, row).await?);
            Ok(reached)
        })
    }
}

/// Select, list, and that whoever has no rows counts none.
async fn read<E: Entity>(db: &TenantDb, cx: &Cx<Tenant>, row: &Row) -> Result<Reached, RepoError> {
    let repo = db.repo::<E>();
    let id = E::from_row(row)?.id().clone();
    let mut reached = Vec::new();
    let found = db
        .transaction(cx, async |tx| repo.find(tx, id.clone()).await)
        .await?;
    if found.is_some() {
        reached.push("find gives it".to_owned());
    }
    let list = async |tx: &_| repo.list(tx, Query::<E>::new().with_deleted()).await;
    let listed: bastide_repo::Found<E> = db.transaction(cx, list).await?;
    if listed.rows.iter().any(|one| one.id() == &id) {
        reached.push("list gives it".to_owned());
    }
    let (count, exists) = db
        .transaction(cx, async |tx| -> Result<_, RepoError> {
            let count = repo.count(tx, Filter::all()).await?;
            Ok((count, repo.exists(tx, Filter::all()).await?))
        })
        .await?;
    if count != listed.rows.len() as u64 && listed.next.is_none() {
        reached.push(format!(
            "count says {count} where list gives {}",
            listed.rows.len()
        ));
    }
    if exists && count == 0 {
        reached.push("exists says that there are rows".to_owned());
    }
    Ok(reached)
}

/// Update, delete, and a row of the same id by upsert.
async fn write<E: Entity>(db: &TenantDb, cx: &Cx<Tenant>, row: &Row) -> Result<Reached, RepoError> {
    let repo: Repo<E> = db.repo();
    let id = E::from_row(row)?.id().clone();
    let mut reached = Vec::new();
    let mut refused = |what: &str, result: Result<(), RepoError>| match result {
        Err(RepoError::NotFound { .. }) => {}
        Err(error) => reached.push(format!("{what} answers `{}` ({error})", error.code())),
        Ok(()) => reached.push(format!("{what} does it")),
    };
    let entity = E::from_row(row)?;
    let update = async |tx: &_| repo.update(tx, entity).await.map(drop);
    refused("update", db.transaction(cx, update).await);
    let delete = async |tx: &_| repo.delete(tx, id.clone()).await;
    refused("delete", db.transaction(cx, delete).await);

    // A row of the same id is another row; one that refers to rows of somebody else cannot be made.
    let refers = refers::<E>(row)?;
    let entity = E::from_row(row)?;
    let key = Column::<E, E::Id>::new(E::TABLE.id);
    let upsert = async |tx: &_| repo.upsert(tx, entity, key).await.map(drop);
    match db.transaction(cx, upsert).await {
        Err(RepoError::Reference { .. }) if refers => {}
        Ok(()) if refers => reached.push("a row that refers to it can be made".to_owned()),
        Ok(()) => {
            let delete = async |tx: &_| repo.delete(tx, id.clone()).await;
            db.transaction(cx, delete).await?;
        }
        Err(error) => reached.push(format!("upsert answers `{}` ({error})", error.code())),
    }
    Ok(reached)
}

/// Whether the row refers to another one.
fn refers<E: Entity>(row: &Row) -> Result<bool, RepoError> {
    for column in E::TABLE.columns {
        let is_tenants = |to: fn() -> &'static Table| to().traits.tenant;
        if column.references.is_some_and(is_tenants) {
            // One that refers to itself is whole in any tenant.
            let is_itself = row.value(column.name)? == row.value(E::TABLE.id)?;
            if *row.value(column.name)? != Value::Null && !is_itself {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
