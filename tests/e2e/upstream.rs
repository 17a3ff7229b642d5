//! A provider that a test scripts: it accepts connections, shows what arrived, and writes exact bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::harness::{listen, within};

/// The first event of an answer, with its text.
pub const FIRST: &str = "data: {\"id\":\"c-1\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hello\"},\"finish_reason\":null}]}\n\n";
/// The event that finishes the choice.
pub const FINISH: &str = "data: {\"id\":\"c-1\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
/// The end mark.
pub const DONE: &str = "data: [DONE]\n\n";
/// The beginning of a streamed answer whose body is sent in chunks.
pub const SSE_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
/// The chunk that ends a body.
pub const LAST_CHUNK: &str = "0\r\n\r\n";

/// An event with more text.
pub fn text(text: &str) -> String {
    format!(
        "data: {{\"id\":\"c-1\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n"
    )
}

/// Bytes as one chunk of a body.
pub fn chunk(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let mut out = format!("{:x}\r\n", bytes.len()).into_bytes();
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
    out
}

/// A whole response.
pub fn response(status: &str, headers: &[(&str, &str)], body: &str) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// The provider.
pub struct Upstream {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    connections: mpsc::UnboundedReceiver<TcpStream>,
}

impl Upstream {
    pub async fn start() -> Upstream {
        let listener = listen().await;
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (send, connections) = mpsc::unbounded_channel();
        let counter = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                if send.send(stream).is_err() {
                    return;
                }
            }
        });
        Upstream { address, accepted, connections }
    }

    /// How many connections came so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// The counter of connections, for when the upstream serves by itself.
    pub fn counter(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.accepted)
    }

    /// The next connection.
    pub async fn connection(&mut self) -> Connection {
        let stream = within("a connection to the upstream", self.connections.recv()).await.unwrap();
        Connection { stream, unread: Vec::new() }
    }

    /// Has a function serve every connection, from now on.
    pub fn each<F>(mut self, serve: impl Fn(Connection) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tokio::spawn(async move {
            while let Some(stream) = self.connections.recv().await {
                tokio::spawn(serve(Connection { stream, unread: Vec::new() }));
            }
        });
    }

    /// Answers every request on every connection with these writes, from now on.
    pub fn serve(self, writes: Vec<Vec<u8>>) {
        let writes = Arc::new(writes);
        self.each(move |mut connection| {
            let writes = Arc::clone(&writes);
            async move {
                while connection.next_request().await.is_some() {
                    for bytes in writes.iter() {
                        connection.write(bytes).await;
                    }
                }
            }
        });
    }

    /// The next connection, and its first request.
    pub async fn request(&mut self) -> (Connection, Request) {
        let mut connection = self.connection().await;
        let request = within("a request to the upstream", connection.request()).await;
        (connection, request)
    }
}

/// One connection of the proxy to the provider.
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    /// `POST /v1/chat/completions HTTP/1.1`.
    pub line: String,
    /// The headers, the names in lower case, in the order that they came.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Connection {
    /// Reads the next request to its end.
    pub async fn request(&mut self) -> Request {
        self.next_request().await.expect("the proxy closed the connection before its request")
    }

    /// Reads the next request to its end; `None` if the proxy closed the connection instead.
    pub async fn next_request(&mut self) -> Option<Request> {
        let mut request = self.head().await?;
        let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
        request.body = String::from_utf8(self.bytes(length).await).unwrap();
        Some(request)
    }

    /// Reads the head of the next request; its body is left to be read. `None` if the proxy closed the connection
    /// instead.
    pub async fn head(&mut self) -> Option<Request> {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if self.stream.read_buf(&mut self.unread).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Request { line, headers, body: String::new() })
    }

    /// Reads bytes up to a length.
    pub async fn bytes(&mut self, length: usize) -> Vec<u8> {
        while self.unread.len() < length {
            assert!(self.read().await > 0, "the proxy closed the connection within its request");
        }
        self.unread.drain(..length).collect()
    }

    /// Reads the rest of a body in chunks.
    pub async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.extend(self.bytes(1).await);
            }
            let length = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim_end(), 16).unwrap();
            body.extend(self.bytes(length).await);
            self.bytes(2).await;
            if length == 0 {
                return body;
            }
        }
    }

    async fn read(&mut self) -> usize {
        within("bytes from the proxy", self.stream.read_buf(&mut self.unread)).await.unwrap()
    }

    /// Writes bytes as they are.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        within("a write to the proxy", self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Writes bytes as they are; false if the proxy has closed the connection.
    pub async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        within("a write to the proxy", self.stream.write_all(bytes.as_ref())).await.is_ok()
    }

    /// Waits as long as that, or until the proxy closes the connection.
    pub async fn open_for(&mut self, time: Duration) {
        // Elapsed: it is still open.
        let _ = timeout(time, self.stream.read_buf(&mut self.unread)).await;
    }

    /// Writes bytes until the proxy takes no more for a while; gives how many it took.
    pub async fn flood(&mut self, bytes: &[u8], patience: Duration) -> usize {
        let mut taken = 0;
        while let Ok(written) = timeout(patience, self.stream.write_all(bytes)).await {
            if written.is_err() {
                break;
            }
            taken += bytes.len();
        }
        taken
    }

    /// Writes bytes; false if the proxy does not take them for a while.
    pub async fn flood_once(&mut self, bytes: &[u8], patience: Duration) -> bool {
        timeout(patience, self.stream.write_all(bytes)).await.is_ok()
    }

    /// Writes the beginning of a stream.
    pub async fn begin(&mut self) {
        self.write(SSE_HEAD).await;
    }

    /// Writes bytes as one chunk of the body.
    pub async fn chunk(&mut self, bytes: impl AsRef<[u8]>) {
        self.write(chunk(bytes)).await;
    }

    /// Answers with a short stream, all at once.
    pub async fn answer(&mut self) {
        let body = chunk([FIRST, FINISH, DONE].concat());
        self.write([SSE_HEAD.as_bytes(), &body, LAST_CHUNK.as_bytes()].concat()).await;
    }

    /// Waits until the proxy closes the connection.
    pub async fn closed(&mut self) {
        within("the end of the proxy's connection", async {
            let mut buffer = [0; 1024];
            // A reset is an end as well.
            while self.stream.read(&mut buffer).await.unwrap_or(0) > 0 {}
        })
        .await;
    }

    /// Looks on for a moment to see that the proxy keeps the connection open.
    pub async fn open(&mut self) {
        let read = timeout(Duration::from_millis(20), self.stream.read_buf(&mut self.unread)).await;
        assert!(read.is_err(), "the proxy closed the connection, or sent more: {read:?}");
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}
