//! What the program says, and what it does not.

use bastide_testkit::until;
use serde_json::{Value, json};

use crate::shop::{PATIENCE, Setup, Shop};

fn say(shop: &Shop, request: &Value) -> String {
    let body = json!({"request": request.to_string(), "password": "hunter2"});
    assert_eq!(shop.send("POST", "/say", None, &body).status, 200);
    let said = || {
        shop.log()
            .lines()
            .find(|line| line.contains("said"))
            .map(str::to_owned)
    };
    assert!(until(PATIENCE, || said().is_some()), "{}", shop.log());
    said().unwrap()
}

#[test]
fn seed000_logger_level() {
    let lines = |level: &str| {
        let setup = Setup::new(&format!("[log]\nlevel = {level:?}\n"));
        let shop = setup.start();
        say(&shop, &json!({}));
        shop.log()
    };
    assert!(!lines("info").contains("what nobody asked for"));
    assert!(lines("debug").contains("what nobody asked for"));
    assert!(lines("info,shop=debug").contains("what nobody asked for"));
    let by_variable = Setup::new("").set("LOG_LEVEL", "debug").start();
    say(&by_variable, &json!({}));
    assert!(by_variable.log().contains("what nobody asked for"));
}

#[test]
fn seed000_logger_console_pretty_in_development_and_json_elsewhere() {
    let is_json = |line: &str| serde_json::from_str::<Value>(line).is_ok();
    let elsewhere = Setup::new("").start();
    assert!(is_json(&say(&elsewhere, &json!({}))));
    let development = Setup::new("").set("BASTIDE_ENV", "development").start();
    assert!(!is_json(&say(&development, &json!({}))));
    let asked = Setup::new("[log]\nformat = \"json\"\n").set("BASTIDE_ENV", "development");
    assert!(is_json(&say(&asked.start(), &json!({}))));
}

#[test]
fn seed000_logger_redaction_paths_with_wildcards() {
    let setup = Setup::new("[log]\nredact = [\"email\", \"account.*\"]\n");
    let shop = setup.start();
    let request = json!({
        "headers": {"authorization": "Bearer shown-one", "accept": "kept-one"},
        "creditCard": {"number": "shown-two", "cvc": "shown-three"},
        "token": "shown-four",
        "email": "shown-five",
        "account": {"iban": "shown-six"},
        "name": "kept-two",
    });
    let line = say(&shop, &request);
    assert!(
        line.contains("kept-one") && line.contains("kept-two"),
        "{line}"
    );
    assert!(
        !line.contains("shown-") && !line.contains("hunter2"),
        "{line}"
    );
    let without = Setup::new("").start();
    let line = say(&without, &request);
    assert!(
        line.contains("shown-five") && line.contains("shown-six"),
        "{line}"
    );
    assert!(
        !line.contains("shown-one") && !line.contains("shown-two"),
        "{line}"
    );
}

#[test]
fn seed000_logger_lines_go_to_standard_output() {
    let shop = Setup::new("").start();
    let line: Value = serde_json::from_str(&say(&shop, &json!({}))).unwrap();
    assert_eq!(line["message"], "said");
    assert_eq!(line["level"], "info");
}
