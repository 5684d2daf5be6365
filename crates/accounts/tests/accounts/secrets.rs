//! What must not be seen is planted, and looked for in all that comes out.

use std::io::Write;
use std::sync::{Arc, Mutex};

use bastide_accounts::{AccountError, ChangePassword, NewUser, Register};
use bastide_auth::TenantId;
use bastide_config::Secret;
use bastide_context::Call;
use bastide_rpc::ApiError as _;
use serde_json::json;

use crate::on_both;
use crate::support::{BINDING, Client, Fixture, PASSWORD, SERVICE_KEY, SIGNING, login_of, program};

on_both!(secrets_stand_in_no_log_error_or_debug);

/// All that is logged, at every level.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn secrets_stand_in_no_log_error_or_debug(fixture: &Fixture) {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    // The runtime has one thread, so that all that the apps do is heard.
    let _heard = tracing::subscriber::set_default(subscriber);
    let mut said = Vec::new();

    let world = fixture.world().await;
    let first = world.ada().await;
    let wrong = "a wrong password that was planted";
    said.push(
        world
            .try_login("acme", "ada@example.org", wrong)
            .await
            .json
            .to_string(),
    );
    let number = json!({"tenant": "acme", "email": "ada@example.org", "password": 987_654_321});
    said.push(world.auth("login", None, number).await.json.to_string());
    let second = Client::of(&world.refresh(&first.refresh).await.good());
    said.push(world.refresh(&first.refresh).await.json.to_string());
    said.push(world.media(&second.access).await.json.to_string());
    let other = world.login("acme", "ada@example.org").await;
    let new = "a new password that was planted";
    let change = json!({"current": PASSWORD, "new": new});
    said.push(
        world
            .auth("change_password", Some(&other.access), change)
            .await
            .json
            .to_string(),
    );

    let hashes = async |sql: &str| -> Vec<String> {
        let rows = fixture.superuser().query(sql, &[]).await.unwrap();
        rows.iter()
            .map(|row| row.get::<&str>("kept").unwrap().to_owned())
            .collect()
    };
    let mut secrets = hashes("SELECT password_hash AS kept FROM auth_users").await;
    secrets.extend(hashes("SELECT digest AS kept FROM auth_refresh_tokens").await);
    assert_eq!(secrets.len(), 4, "a user and three refresh tokens");
    for (name, sql) in [("users", "password_hash"), ("refresh_tokens", "digest")] {
        // The database's own words, when something does not fit.
        let broken = format!("ALTER TABLE auth_{name} RENAME COLUMN {sql} TO lost");
        fixture.superuser().execute(&broken, &[]).await.unwrap();
        said.push(
            world
                .try_login("acme", "ada@example.org", new)
                .await
                .json
                .to_string(),
        );
        said.push(world.refresh(&other.refresh).await.json.to_string());
        let mended = format!("ALTER TABLE auth_{name} RENAME COLUMN lost TO {sql}");
        fixture.superuser().execute(&mended, &[]).await.unwrap();
    }
    // As a library: errors and values.
    let errors = [
        world
            .accounts
            .refresh(&Call::new(), &Secret::new(first.refresh.as_str()))
            .await
            .map(drop),
        world
            .accounts
            .login(&Call::new(), login_of("ada@example.org"))
            .await
            .map(drop),
    ];
    for error in errors {
        let error: AccountError = error.unwrap_err();
        said.push(format!(
            "{error} {error:?} {:?}",
            error.clone().into_problem()
        ));
    }
    let text = || PASSWORD.into();
    let tenant = TenantId::parse("acme").unwrap();
    let email = "bob@example.org".to_owned();
    let made = NewUser {
        email: email.clone(),
        password: text(),
        roles: Vec::new(),
    };
    said.push(format!(
        "{made:?} {:?}",
        ChangePassword {
            current: text(),
            new: new.into()
        }
    ));
    said.push(format!(
        "{:?}",
        Register {
            tenant,
            email,
            password: text()
        }
    ));
    said.push(format!(
        "{:?}",
        world.accounts.create_user(&program("acme"), made).await
    ));
    let bob = login_of("bob@example.org");
    said.push(format!("{bob:?}"));
    let tokens = world.accounts.login(&Call::new(), bob).await.unwrap();
    said.push(format!(
        "{tokens:?} {:?} {:?}",
        world.accounts,
        world.accounts.service()
    ));

    secrets.extend(
        [
            PASSWORD,
            wrong,
            new,
            "987654321",
            SIGNING,
            BINDING,
            SERVICE_KEY,
        ]
        .map(str::to_owned),
    );
    for client in [&first, &second, &other] {
        let of_refresh = client.refresh.rsplit('~').next().unwrap();
        let of_access = client.access.rsplit('.').next().unwrap();
        secrets.extend([of_refresh.to_owned(), of_access.to_owned()]);
    }
    for tokens in [tokens.access_token.expose(), tokens.refresh_token.expose()] {
        secrets.push(tokens.to_owned());
    }
    let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let warned = logged.lines().filter(|line| {
        line.contains("WARN") && line.contains("used twice") && line.contains(&first.session)
    });
    assert_eq!(warned.count(), 1, "a second use is told, once");
    said.push(logged);
    for secret in secrets {
        for text in &said {
            assert!(!text.contains(&secret), "{secret} stands in {text}");
        }
    }
}
