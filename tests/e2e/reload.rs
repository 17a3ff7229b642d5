//! Another config for a process that runs, and what its end looks like from outside.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;

use crate::client::Client;
use crate::harness::{ask, client, provider, until};
use crate::program::{Running, command, folder};
use crate::upstream::{DONE, FINISH, FIRST, Upstream, text};

fn config(upstream: SocketAddr, more: &str) -> String {
    let entry = provider("mine", upstream, "");
    format!("listen = \"127.0.0.1:0\"\ndefault_provider = \"mine\"\nretry.attempts = 1\n{more}\n{entry}")
}

fn start(folder: &Path) -> (Running, SocketAddr) {
    let mut running = Running::start(command(folder));
    let address = running.address();
    (running, address)
}

/// Asks, has this upstream answer, and gives the key that reached it.
async fn answered_by(upstream: &mut Upstream, proxy: SocketAddr) -> Option<String> {
    let mut client = Client::ask(proxy, &ask("m", true)).await;
    let (mut connection, request) = upstream.request().await;
    connection.answer().await;
    assert_eq!(client.head().await.status, 200);
    assert!(client.rest().await.ends_with(DONE));
    request.header("authorization").map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hang_up_puts_the_new_config_into_force() {
    let folder = folder("reload_hang_up");
    let (mut one, mut other) = (Upstream::start().await, Upstream::start().await);
    fs::write(folder.join("millpond.toml"), config(one.address, "")).unwrap();
    let (mut running, address) = start(&folder);
    let mut old = Client::ask(address, &ask("m", true)).await;
    let (mut connection, _) = one.request().await;
    connection.begin().await;
    connection.chunk(FIRST).await;
    assert_eq!(old.head().await.status, 200);
    fs::write(folder.join("millpond.toml"), config(other.address, "")).unwrap();
    running.signal("HUP");
    running.says("the config was read again");
    answered_by(&mut other, address).await;
    // The answer that ran before still does.
    connection.chunk([&text(" again"), FINISH, DONE].concat()).await;
    let rest = old.rest().await;
    assert!(rest.contains(" again") && rest.ends_with(DONE), "{rest}");
}

/// As Kubernetes does it: a link in the path leads elsewhere from one moment to the next.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changed_is_read_without_being_asked() {
    use std::os::unix::fs::symlink;
    let folder = folder("reload_link");
    let (mut one, mut other) = (Upstream::start().await, Upstream::start().await);
    for (name, upstream) in [("old", &one), ("new", &other)] {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("millpond.toml"), config(upstream.address, "")).unwrap();
    }
    symlink("old", folder.join("data")).unwrap();
    symlink("data/millpond.toml", folder.join("millpond.toml")).unwrap();
    let (mut running, address) = start(&folder);
    answered_by(&mut one, address).await;
    symlink("new", folder.join("next")).unwrap();
    fs::rename(folder.join("next"), folder.join("data")).unwrap();
    running.says("the config was read again");
    answered_by(&mut other, address).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_a_file_may_change() {
    let folder = folder("reload_key");
    let mut upstream = Upstream::start().await;
    let key = folder.join("key");
    fs::write(&key, "sk-of-a-test-1\n").unwrap();
    let more = format!("api_key_file = {:?}", key.display().to_string());
    fs::write(folder.join("millpond.toml"), config(upstream.address, "") + &more).unwrap();
    let (mut running, address) = start(&folder);
    assert_eq!(answered_by(&mut upstream, address).await.as_deref(), Some("Bearer sk-of-a-test-1"));
    fs::write(&key, "sk-of-a-test-2\n").unwrap();
    running.says("the config was read again");
    assert_eq!(answered_by(&mut upstream, address).await.as_deref(), Some("Bearer sk-of-a-test-2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_config_that_is_wrong_changes_nothing() {
    let folder = folder("reload_wrong");
    let (mut one, mut other) = (Upstream::start().await, Upstream::start().await);
    fs::write(folder.join("millpond.toml"), config(one.address, "")).unwrap();
    let (mut running, address) = start(&folder);
    fs::write(folder.join("millpond.toml"), config(other.address, "keep_alive = \"soon\"")).unwrap();
    running.signal("HUP");
    let said = running.says("the config stays as it was");
    assert!(said.contains("a length of time"), "{said}");
    answered_by(&mut one, address).await;
    fs::write(folder.join("millpond.toml"), config(other.address, "")).unwrap();
    running.says("the config was read again");
    answered_by(&mut other, address).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_ends_at_once_and_a_second_signal_ends_everything() {
    let folder = folder("reload_stop");
    let mut upstream = Upstream::start().await;
    let more = "admin_listen = \"127.0.0.1:0\"\ndrain = \"1h\"";
    fs::write(folder.join("millpond.toml"), config(upstream.address, more)).unwrap();
    let mut running = Running::start(command(&folder));
    let said = running.says("try:");
    let address = |before: &str| -> SocketAddr {
        let (_, rest) = said.split_once(before).unwrap();
        rest.split_whitespace().next().unwrap().parse().unwrap()
    };
    let (address, admin) = (address(" listens on http://"), address("health and metrics are on http://"));
    let ready = async || {
        let response = client().get(format!("http://{admin}/readyz")).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice::<Value>(&response.bytes().await.unwrap()).unwrap()["status"].clone())
    };
    assert_eq!(ready().await, (200, "ready".into()));
    let mut client = Client::ask(address, &ask("m", true)).await;
    let (mut connection, _) = upstream.request().await;
    connection.begin().await;
    connection.chunk(FIRST).await;
    assert_eq!(client.head().await.status, 200);
    running.signal("TERM");
    until("the end of readiness", async || ready().await == (503, "stopping".into())).await;
    running.signal("TERM");
    assert_eq!(running.end().code, Some(0));
    connection.closed().await;
}
