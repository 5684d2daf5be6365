//! The declarative file, kept in force: applied at the start and again whenever it changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::{apply_file, check_file};
use crate::control::Control;

/// Editors write a file in several steps; what comes within this time is one change.
const SETTLE: Duration = Duration::from_millis(100);

/// The file is looked at this often even if no event came: some file systems have none.
const POLL: Duration = Duration::from_secs(5);

/// Applies the file, and then follows it in the background. A file that is wrong at the start is an error; one that
/// becomes wrong later is reported and changes nothing. While the database is down it waits.
pub async fn follow_file(control: Arc<Control>, file: PathBuf) -> Result<(), String> {
    let mut applied = None;
    if control.is_repository_reachable() {
        applied = digest(&file).await;
        apply(&control, &file).await?;
    } else {
        check_file(&file).map_err(|problems| problems.join("\n"))?;
    }
    let (sender, mut events) = mpsc::channel(1);
    let watcher = watch(&file, sender);
    if let Err(error) = &watcher {
        tracing::warn!(%error, "the declarative file cannot be watched; it is looked at every few seconds");
    }
    tokio::spawn(async move {
        let _watcher = watcher;
        loop {
            // An event, or no event for a while: either way the content decides.
            let _: Result<Option<()>, _> = tokio::time::timeout(POLL, events.recv()).await;
            tokio::time::sleep(SETTLE).await;
            while events.try_recv().is_ok() {}
            let content = digest(&file).await;
            if content == applied || !control.is_repository_reachable() {
                continue;
            }
            if let Err(problems) = apply(&control, &file).await {
                tracing::error!(
                    "the declarative file is not applied, what was in force stays: {problems}"
                );
            }
            applied = content;
        }
    });
    Ok(())
}

/// Watches the folder: a file that is replaced by a rename is another file to the kernel.
fn watch(file: &Path, sender: mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |_: notify::Result<notify::Event>| {
        // A full channel means that a look is due anyway.
        sender.try_send(()).ok();
    })?;
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// Enough to see whether the content changed, without keeping it.
async fn digest(file: &Path) -> Option<[u8; 32]> {
    let content = tokio::fs::read(file).await.ok()?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &content);
    digest.as_ref().try_into().ok()
}

async fn apply(control: &Control, file: &Path) -> Result<(), String> {
    let diff = apply_file(control, file)
        .await
        .map_err(|problems| problems.join("\n"))?;
    for tenant in diff.update.iter().filter(|entry| entry.is_handed_over()) {
        tracing::warn!(
            tenant = tenant.name,
            id = %tenant.id,
            "a tenant left the declarative file, but has keys or routes that the Admin API made: it stays with these, \
             inactive, and is changed or deleted through the Admin API from now on"
        );
    }
    if !diff.is_empty() {
        tracing::info!(
            create = diff.create.len(),
            update = diff.update.len(),
            delete = diff.delete.len(),
            "the declarative file is in force"
        );
    }
    Ok(())
}
