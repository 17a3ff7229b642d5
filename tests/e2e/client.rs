//! A client that sees the bytes: the chunks of a body as the proxy wrote them.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::within;

/// A connection to the proxy; dropping it is how a client leaves.
pub struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// The beginning of an answer.
#[derive(Debug)]
pub struct Head {
    pub status: u16,
    pub headers: HeaderMap,
}

impl Client {
    pub async fn connect(proxy: SocketAddr) -> Client {
        let stream = within("a connection to the proxy", TcpStream::connect(proxy)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, unread: Vec::new() }
    }

    /// Connects and asks.
    pub async fn ask(proxy: SocketAddr, body: &Value) -> Client {
        let mut client = Client::connect(proxy).await;
        client.post(body).await;
        client
    }

    /// Writes bytes as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("a write to the proxy", self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Writes bytes until the proxy takes no more for a while; gives how many it took.
    pub async fn flood(&mut self, bytes: &[u8], most: usize, patience: Duration) -> usize {
        let mut taken = 0;
        while taken < most
            && let Ok(written) =
                timeout(patience, self.stream.write(&bytes[..bytes.len().min(most - taken)])).await
        {
            taken += written.unwrap();
        }
        taken
    }

    /// Reads up to the end of the connection; gives how it ended.
    pub async fn end(&mut self) -> std::io::Result<Vec<u8>> {
        let read = async {
            while self.stream.read_buf(&mut self.unread).await? > 0 {}
            Ok(())
        };
        within("the end of the connection", read).await.map(|()| std::mem::take(&mut self.unread))
    }

    /// Sends a request for an answer.
    pub async fn post(&mut self, body: &Value) {
        let body = body.to_string();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.send(head + &body).await;
    }

    /// Reads the status line and the headers.
    pub async fn head(&mut self) -> Head {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = HeaderMap::new();
        for line in &lines[1..] {
            let (name, value) = line.split_once(": ").unwrap();
            let (name, value): (HeaderName, HeaderValue) = (name.parse().unwrap(), value.parse().unwrap());
            headers.append(name, value);
        }
        Head { status, headers }
    }

    /// Reads one chunk of a body, which is one write of the proxy's; `None` is the end of the body.
    pub async fn chunk(&mut self) -> Option<String> {
        let line = self.line().await;
        let length = usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("no chunk: {line:?}"));
        let bytes = self.bytes(length + 2).await;
        let data = bytes.strip_suffix(b"\r\n").expect("a chunk ends with CRLF");
        (length > 0).then(|| String::from_utf8(data.to_vec()).unwrap())
    }

    /// Reads the chunks up to the end of the body.
    pub async fn rest(&mut self) -> String {
        let mut rest = String::new();
        while let Some(chunk) = self.chunk().await {
            rest += &chunk;
        }
        rest
    }

    /// Looks on for a while to see that nothing comes.
    pub async fn nothing(&mut self, what: &str, time: Duration) {
        let read = timeout(time, self.stream.read_buf(&mut self.unread)).await;
        assert!(
            read.is_err() && self.unread.is_empty(),
            "{what}: {:?}",
            String::from_utf8_lossy(&self.unread)
        );
    }

    /// Reads bytes up to a length.
    pub async fn bytes(&mut self, length: usize) -> Vec<u8> {
        while self.unread.len() < length {
            assert!(self.read().await > 0, "the proxy closed the connection");
        }
        self.unread.drain(..length).collect()
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(at) = self.unread.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..at + 2).collect();
                return String::from_utf8(line[..at].to_vec()).unwrap();
            }
            assert!(
                self.read().await > 0,
                "the proxy closed the connection after {:?}",
                String::from_utf8_lossy(&self.unread)
            );
        }
    }

    async fn read(&mut self) -> usize {
        within("bytes from the proxy", self.stream.read_buf(&mut self.unread)).await.unwrap()
    }
}
