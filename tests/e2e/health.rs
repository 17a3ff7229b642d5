//! `millpond health`: one question to `/readyz`, one exit code.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread::JoinHandle;

use crate::program::{Ended, Running, command, folder};

/// A server that reads one request, answers with these bytes and closes; gives the request.
fn answers(bytes: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 512];
        while !request.ends_with(b"\r\n\r\n") {
            let length = connection.read(&mut buffer).unwrap();
            assert_ne!(length, 0, "the request has no end");
            request.extend_from_slice(&buffer[..length]);
        }
        connection.write_all(bytes.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    (address, thread)
}

fn health(folder: &Path, listen: &str) -> Ended {
    let mut command = command(folder);
    command.arg("health").env("MILLPOND_LISTEN", listen);
    Running::start(command).end()
}

#[test]
fn a_running_millpond_is_ready_until_it_ends() {
    let folder = folder("health");
    let mut serve = command(&folder);
    serve.args(["serve", "--demo", "--listen", "127.0.0.1:0"]);
    let mut serve = Running::start(serve);
    let address = serve.address();
    // Who listens on every address is asked over the loopback.
    for listen in [address.to_string(), format!("0.0.0.0:{}", address.port())] {
        let ended = health(&folder, &listen);
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(0), "ready\n", ""));
    }
    serve.signal("TERM");
    assert_eq!(serve.end().code, Some(0));
    let ended = health(&folder, &address.to_string());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    assert!(ended.stderr.starts_with(&format!("millpond: http://{address}/readyz: ")), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
}

#[test]
fn whatever_does_not_answer_with_200_is_not_ready() {
    for (bytes, told) in [
        ("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 503 Service Unavailable"),
        ("SSH-2.0 200\u{7}\r\n", "SSH-2.0 200\\u{7}"),
        ("", "\"\""),
    ] {
        let (address, server) = answers(bytes);
        let ended = health(&folder("health_not"), &address.to_string());
        server.join().unwrap();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.stderr.contains(told) && ended.stderr.lines().count() == 1, "{ended:?}");
    }
}

#[test]
fn the_admin_listener_is_asked_where_there_is_one() {
    let folder = folder("health_admin");
    let (address, server) = answers("HTTP/1.1 200 OK\r\n\r\n");
    std::fs::write(folder.join("millpond.toml"), format!("admin_listen = \"{address}\"")).unwrap();
    let ended = health(&folder, "127.0.0.1:1");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "ready\n"), "{ended:?}");
    let request = server.join().unwrap();
    let asked = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\n");
    assert!(request.starts_with(&asked), "{request}");
}
