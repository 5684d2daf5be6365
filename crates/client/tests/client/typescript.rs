//! The TypeScript client: what is written, and that it works.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bastide_client::generate;
use bastide_rpc::Server;
use bastide_testkit::{TestFolder, binaries};

use crate::orders::{app, document, token};
use crate::script::answering;

/// Checks these files, and writes what `node` runs beside them.
pub(crate) fn compile(folder: &Path, files: &[&str]) {
    let tsc = binaries::find("tsc").unwrap();
    let output = Command::new(tsc)
        .current_dir(folder)
        .args([
            "--strict",
            "--noUncheckedIndexedAccess",
            "--exactOptionalPropertyTypes",
        ])
        .args([
            "--target",
            "es2020",
            "--lib",
            "es2020,dom",
            "--module",
            "commonjs",
            "--typeRoots",
            ".",
        ])
        .args(files)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
}

#[test]
fn s14_a_description_has_one_typescript_client() {
    let client = generate::typescript(&document()).unwrap();
    // What is before the first type is the same for every service.
    let (_, of_the_service) = client.split_at(client.find("\nexport interface Empty").unwrap());
    insta::assert_snapshot!(of_the_service);
    assert!(client.contains(&generate::contract(&document())));
    assert_eq!(generate::typescript(&document()).unwrap(), client);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_the_typescript_client_calls_a_running_service() {
    let app = app();
    let (expired, fresh) = (token(&app.issuer), {
        app.time.advance(Duration::from_hours(1));
        token(&app.issuer)
    });
    let mut server = Server::new(app.entry);
    let address = server.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let item = |id: u64| format!("id: {id}\ndata: {{\"id\":{id}}}\n\n");
    let problem = r#"{"status":409,"code":"order_closed","detail":"d","requestId":"r"}"#;
    let (streaming, _requests) = answering(vec![
        format!(
            "{head}{}: still here\r\n\r\n{}event: end\n\n",
            item(1),
            item(2)
        ),
        format!("{head}{}event: problem\ndata: {problem}\n\n", item(1)),
        format!("{head}{}", item(1)),
        format!("{head}{}", item(9)),
    ])
    .await;
    let folder = TestFolder::new().unwrap();
    let client = generate::typescript(&document()).unwrap();
    std::fs::write(folder.path().join("orders.ts"), client).unwrap();
    std::fs::write(folder.path().join("script.ts"), include_str!("script.ts")).unwrap();
    let path = folder.path().to_owned();
    let ran = tokio::task::spawn_blocking(move || {
        compile(&path, &["script.ts"]);
        Command::new(binaries::find("node").unwrap())
            .current_dir(path)
            .args([
                "script.js",
                &format!("http://{address}/"),
                fresh.expose(),
                expired.expose(),
                &streaming,
            ])
            .output()
            .unwrap()
    });
    let output = ran.await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said == "done\n",
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
