//! `HTTPS_PROXY` and `NO_PROXY`: the way to a provider through a proxy of the network, which sees no key.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use crate::certificates::{Authority, Provider};
use crate::harness::{KEY, ask, client, listen};
use crate::program::{Running, command, folder};
use crate::support::contract::{End, check_stream};

/// A proxy that tunnels; gives its address and the heads of the requests that it saw.
async fn tunnel() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = listen().await;
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let heads = Arc::clone(&heads);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if connection.read_buf(&mut head).await.unwrap() == 0 {
                        return;
                    }
                }
                let head = String::from_utf8(head).unwrap();
                let target = head.split(' ').nth(1).unwrap().to_owned();
                heads.lock().unwrap().push(head);
                let mut inner = TcpStream::connect(target).await.unwrap();
                connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                // Either side may leave.
                let _ = copy_bidirectional(&mut connection, &mut inner).await;
            });
        }
    });
    (url, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_of_the_network_is_used_and_sees_no_key() {
    let authority = Authority::new();
    let secured = Provider::secured(&authority, None).await;
    for (name, exceptions, is_used) in [("used", "pond.example", true), ("passed_by", "127.0.0.1", false)] {
        let (url, seen) = tunnel().await;
        let folder = folder(&format!("tunnel_{name}"));
        let ca = authority.write(&folder);
        let config = secured.entry("https", &format!("api_key = \"{KEY}\"\nca_file = \"{}\"", ca.display()));
        std::fs::write(folder.join("millpond.toml"), config).unwrap();
        let mut command = command(&folder);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        command.env("HTTPS_PROXY", url).env("NO_PROXY", exceptions);
        let mut running = Running::start(command);
        let sent = client()
            .post(format!("http://{}/v1/chat/completions", running.address()))
            .header("content-type", "application/json")
            .body(ask("mine/m", true).to_string())
            .send();
        let answer = check_stream(&sent.await.unwrap().bytes().await.unwrap(), false).unwrap();
        assert_eq!(answer.end, End::Complete);
        let seen = seen.lock().unwrap().clone();
        let begin = format!("CONNECT {} HTTP/1.1\r\n", secured.address);
        assert_eq!(
            seen.iter().filter(|head| head.starts_with(&begin)).count(),
            usize::from(is_used),
            "{seen:?}"
        );
        assert!(seen.iter().all(|head| head.starts_with(&begin) && !head.contains(KEY)), "{seen:?}");
        running.signal("TERM");
        assert_eq!(running.end().code, Some(0));
    }
    let asked: Vec<_> = secured.asked().into_iter().filter_map(|(_, key)| key).collect();
    assert_eq!(asked, [format!("Bearer {KEY}"), format!("Bearer {KEY}")]);
}
