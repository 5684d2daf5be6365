//! What is counted.

use serde_json::json;

use crate::shop::{Setup, token};

#[test]
fn seed000_metrics_app_name() {
    let shop = Setup::new("").start();
    let series = "app_info{name=\"shop\",version=\"1.2.3\",environment=\"test\"}";
    assert_eq!(shop.metric(series), 1.0, "{}", shop.metrics());
}

#[test]
fn seed000_metrics_rpc() {
    let series =
        "rpc_requests_total{service=\"shop\",version=\"1.0.0\",method=\"me\",status=\"200\"}";
    let times =
        "rpc_request_duration_seconds_count{service=\"shop\",version=\"1.0.0\",method=\"me\"}";
    let on = Setup::new("").start();
    let off = Setup::new("[metrics]\nrpc = false\n").start();
    for shop in [&on, &off] {
        for _ in 0..3 {
            assert_eq!(shop.get_as(&token(), "/me").status, 200);
        }
    }
    assert_eq!((on.metric(series), on.metric(times)), (3.0, 3.0));
    let text = off.metrics();
    assert!(
        !text.contains("rpc_request") && !text.contains("http_request"),
        "{text}"
    );
    assert!(text.contains("process_cpu_seconds"), "the others are there");
}

#[test]
fn seed000_metrics_process() {
    let on = Setup::new("").start();
    assert!(on.metric("process_resident_memory_bytes") > 1e6);
    let off = Setup::new("[metrics]\nprocess = false\n").start().metrics();
    assert!(
        !off.contains("process_") && off.contains("system_"),
        "{off}"
    );
}

#[test]
fn seed000_metrics_system() {
    let on = Setup::new("").start();
    let total = on.metric("system_memory_bytes{kind=\"total\"}");
    let available = on.metric("system_memory_bytes{kind=\"available\"}");
    assert!(total >= available && available > 1e6, "{total} {available}");
    assert!(on.metric("system_cpu_seconds_total{mode=\"user\"}") > 0.0);
    assert!(on.metrics().contains("system_load_average{minutes=\"15\"}"));
    let off = Setup::new("[metrics]\nsystem = false\n").start().metrics();
    assert!(
        !off.contains("system_") && off.contains("process_"),
        "{off}"
    );
}

#[test]
fn seed000_metrics_collection_enabled() {
    let shop = Setup::new("[metrics]\nenabled = false\n").start();
    shop.get_as(&token(), "/me");
    let answer = shop.get("/metrics", &[]);
    assert_eq!(answer.body.replace("# EOF\n", ""), "", "{answer:?}");
}

#[test]
fn seed000_metrics_a_scrape_is_of_this_moment_so_no_interval_is_needed() {
    let shop = Setup::new("").start();
    let id = shop.make_good("lamp");
    assert_eq!(shop.looked_up(), 0.0);
    shop.name_of(&id);
    assert_eq!(shop.looked_up(), 1.0);
}

#[test]
fn seed000_metrics_own_counter_and_histogram() {
    let shop = Setup::new("").start();
    for name in ["lamp", "chair", "table"] {
        shop.make_good(name);
    }
    assert_eq!(shop.metric("goods_name_bytes_count"), 3.0);
    assert_eq!(shop.metric("goods_name_bytes_sum"), 14.0);
    assert_eq!(shop.looked_up(), 0.0);
}

#[test]
fn seed000_metrics_endpoint_of_its_own_for_the_scraper() {
    let port = bastide_testkit::free_port();
    let text = format!("[http]\nops = \"127.0.0.1:{port}\"\n");
    let shop = Setup::new(&text).start();
    assert_eq!(shop.get("/metrics", &[]).status, 404);
    let answer = crate::shop::ask(([127, 0, 0, 1], port).into(), "/metrics");
    assert!(answer.body.contains("app_info"), "{answer:?}");
    let off = Setup::new("[http]\nops = \"off\"\n").start();
    assert_eq!(off.get("/metrics", &[]).status, 404);
    assert_eq!(off.get("/sign", &[]).json(), json!("welcome 0"));
}
