//! TLS with clients and with providers, over real sockets.

use std::path::Path;
use std::time::Duration;

use http::Version;

use crate::certificates::{Authority, Provider};
use crate::client::Client;
use crate::harness::{DEADLINE, Mock, Proxy, ask, until, within};
use crate::program::{Running, command, folder};
use crate::support::contract::{End, check_stream};
use crate::upstream::{FIRST, Upstream};

/// Asks for a stream over TLS; gives the protocol and the answer.
async fn chat(client: &reqwest::Client, proxy: &Proxy) -> (Version, Vec<u8>) {
    let sent = client
        .post(format!("https://{}/v1/chat/completions", proxy.address))
        .header("content-type", "application/json")
        .body(ask("demo", true).to_string())
        .send();
    let response = within("an answer", sent).await.unwrap();
    (response.version(), within("its end", response.bytes()).await.unwrap().to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_choose_the_protocol() {
    let (mock, authority, folder) = (Mock::start().await, Authority::new(), folder("tls_listener"));
    let tls = format!("[tls]\n{}", authority.vouch().write(&folder, ["cert", "key"]));
    let proxy = Proxy::of("mine", mock.address, &tls).await;
    // Whoever connects and says nothing holds up nobody.
    let _silent = Client::connect(proxy.address).await;
    for (client, version) in [
        (authority.client(), Version::HTTP_2),
        (authority.client().http1_only(), Version::HTTP_11),
        (authority.client().tls_version_max(reqwest::tls::Version::TLS_1_2), Version::HTTP_2),
    ] {
        let (spoken, body) = chat(&client.build().unwrap(), &proxy).await;
        assert_eq!(spoken, version);
        assert_eq!(check_stream(&body, false).unwrap().end, End::Complete);
    }
    let page = authority.client().build().unwrap();
    let page =
        page.get(format!("https://{}/metrics", proxy.address)).send().await.unwrap().text().await.unwrap();
    let requests =
        page.lines().filter(|line| line.starts_with("http_server_request_duration_seconds_count{"));
    assert!(
        requests.clone().count() > 0 && requests.clone().all(|line| line.contains("url_scheme=\"https\"")),
        "{page}"
    );
    let stranger = Authority::new().client().build().unwrap();
    let refused = stranger.get(format!("https://{}/healthz", proxy.address)).send().await;
    assert!(refused.unwrap_err().is_connect());
    // HTTP without TLS gets no answer of HTTP.
    let plain = crate::harness::client().get(proxy.url("/healthz")).timeout(DEADLINE).send().await;
    let error = plain.unwrap_err();
    assert!(!error.is_timeout(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_closes_the_providers_connection() {
    let (authority, folder) = (Authority::new(), folder("tls_leaves"));
    let tls = format!("[tls]\n{}", authority.vouch().write(&folder, ["cert", "key"]));
    for client in [authority.client(), authority.client().http1_only()] {
        let mut upstream = Upstream::start().await;
        let proxy = Proxy::of("mine", upstream.address, &tls).await;
        let client = client.build().unwrap();
        let sent = client
            .post(format!("https://{}/v1/chat/completions", proxy.address))
            .header("content-type", "application/json")
            .body(ask("m", true).to_string())
            .send();
        let begun = async {
            let (mut connection, _) = upstream.request().await;
            connection.begin().await;
            connection.chunk(FIRST).await;
            connection
        };
        let (response, mut connection) = tokio::join!(sent, begun);
        connection.open().await;
        drop(response.unwrap());
        connection.closed().await;
    }
}

fn health(folder: &Path, address: std::net::SocketAddr) -> crate::program::Ended {
    let mut health = command(folder);
    health.args(["health", "--listen", &address.to_string()]);
    Running::start(health).end()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_while_it_serves() {
    let folder = folder("tls_renewed");
    let (first, second) = (Authority::new(), Authority::new());
    let tls = format!("[tls]\n{}", first.vouch().write(&folder, ["cert", "key"]));
    std::fs::write(folder.join("millpond.toml"), tls).unwrap();
    let mut command = command(&folder);
    command.args(["serve", "--demo", "--listen", "127.0.0.1:0"]);
    let mut running = Running::start(command);
    let address = running.address();
    assert!(running.says("curl").contains(&format!("https://{address}/v1/chat/completions")));
    let is_trusted = async |authority: &Authority| {
        let client = authority.client().timeout(Duration::from_secs(5)).build().unwrap();
        client.get(format!("https://{address}/healthz")).send().await.is_ok()
    };
    assert!(is_trusted(&first).await && !is_trusted(&second).await);
    let ended = health(&folder, address);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "ready\n"), "{ended:?}");

    // Its own key does not fit: the old certificate stays.
    let renewed = second.vouch();
    std::fs::write(folder.join("cert.pem"), &renewed.cert).unwrap();
    running.signal("HUP");
    running.says("the config stays as it was, because the new one is wrong: tls.cert: ");
    assert!(is_trusted(&first).await && !is_trusted(&second).await);
    // The files are looked at without a signal, too.
    std::fs::write(folder.join("key.pem"), &renewed.key).unwrap();
    until("the new certificate", async || is_trusted(&second).await).await;
    assert!(!is_trusted(&first).await);
    assert_eq!(health(&folder, address).code, Some(0));

    running.signal("TERM");
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("PRIVATE KEY"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_asks_the_listener_of_the_config_alone() {
    let (authority, folder) = (Authority::new(), folder("tls_health"));
    let served = Provider::secured(&authority, None).await;
    let tls = format!("[tls]\n{}", authority.vouch().write(&folder, ["cert", "key"]));
    std::fs::write(folder.join("millpond.toml"), tls).unwrap();
    let ended = health(&folder, served.address);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    assert!(ended.stderr.contains("not the one of the config"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_has_an_authority_of_its_own() {
    let (authority, folder) = (Authority::new(), folder("tls_ca"));
    let secured = Provider::secured(&authority, None).await;
    let ca = format!("ca_file = \"{}\"", authority.write(&folder).display());
    for (more, version) in
        [("", Version::HTTP_2), ("http2 = false", Version::HTTP_11), ("http2 = true", Version::HTTP_2)]
    {
        let proxy = Proxy::start(&secured.entry("https", &format!("{ca}\n{more}"))).await;
        proxy.chat(&ask("mine/m", true)).await.complete(false);
        assert_eq!(secured.asked().last().map(|(version, _)| *version), Some(version), "{more}");
    }
    let known = secured.asked().len();
    let proxy = Proxy::start(&secured.entry("https", "")).await;
    proxy.chat(&ask("mine/m", true)).await.error(502);
    // Whoever may vouch for one provider may not for another.
    let other = Authority::new().write(&crate::program::folder("tls_ca_other"));
    let more = format!("ca_file = \"{}\"", other.display());
    let proxy = Proxy::start(&secured.entry("https", &more)).await;
    proxy.chat(&ask("mine/m", true)).await.error(502);
    assert_eq!(secured.asked().len(), known);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_can_ask_who_millpond_is() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let secured = Provider::secured(&authority, Some(&clients)).await;
    let folder = folder("tls_mutual");
    let ca = format!("ca_file = \"{}\"\n", authority.write(&folder).display());
    let strangers = crate::program::folder("tls_mutual_stranger");
    let fields = ["client_cert", "client_key"];
    let known = clients.vouch().write(&folder, fields);
    let unknown = Authority::new().vouch().write(&strangers, fields);
    let proxy = Proxy::start(&secured.entry("https", &(ca.clone() + &known))).await;
    proxy.chat(&ask("mine/m", true)).await.complete(false);
    for identity in [String::new(), unknown] {
        let proxy = Proxy::start(&secured.entry("https", &(ca.clone() + &identity))).await;
        proxy.chat(&ask("mine/m", true)).await.error(502);
    }
    assert_eq!(secured.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_without_tls_can_be_spoken_to_in_http_2() {
    let plain = Provider::plain().await;
    for (more, version) in [("http2 = true", Version::HTTP_2), ("", Version::HTTP_11)] {
        let proxy = Proxy::start(&plain.entry("http", more)).await;
        proxy.chat(&ask("mine/m", true)).await.complete(false);
        assert_eq!(plain.asked().last().map(|(version, _)| *version), Some(version), "{more}");
    }
}
