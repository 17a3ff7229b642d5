//! The mock provider: raw HTTP/1.1 with keep-alive on a thread of its own, every event its own write and its
//! own HTTP chunk.

use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::stamp::{Clock, Stamp};

const HEAD: &str = "HTTP/1.1 200 OK\r\n\
    content-type: text/event-stream; charset=utf-8\r\n\
    cache-control: no-cache\r\n\
    transfer-encoding: chunked\r\n\r\n";
const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
const LAST_CHUNK: &str = "0\r\n\r\n";

/// Beside its text: role, finish, usage and `[DONE]`.
const OTHER_EVENTS: u32 = 4;

/// What every answer consists of until the next plan.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Text events of one answer.
    pub events: u32,
    /// The time between two of them; zero is as fast as the socket takes them.
    pub interval: Duration,
}

impl Plan {
    /// Events of any kind in so many answers, as the denominator of what one costs.
    pub fn written_events(self, answers: usize) -> f64 {
        answers as f64 * f64::from(self.events + OTHER_EVENTS)
    }
}

/// The handle on the thread, which lives as long as the process.
pub struct Upstream {
    address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
}

impl Upstream {
    pub fn start(clock: Clock) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            // The listener belongs to the thread's runtime, not to the one that may be running here.
            let _entered = runtime.enter();
            let socket = TcpSocket::new_v4()?;
            socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
            socket.listen(4096)?
        };
        let address = listener.local_addr()?;
        let plan = Arc::new(Mutex::new(Plan { events: 1, interval: Duration::ZERO }));
        let shared = Arc::clone(&plan);
        std::thread::Builder::new()
            .name("upstream".into())
            .spawn(move || runtime.block_on(accept(listener, shared, clock)))?;
        Ok(Self { address, plan })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the plan of the answers that are asked for from now on.
    pub fn follow(&self, plan: Plan) {
        *self.plan.lock().expect("nobody panics with the plan in hand") = plan;
    }
}

async fn accept(listener: TcpListener, plan: Arc<Mutex<Plan>>, clock: Clock) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => drop(tokio::spawn(serve(socket, Arc::clone(&plan), clock))),
            Err(error) => {
                eprintln!("upstream: accept: {error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn serve(mut socket: TcpStream, plan: Arc<Mutex<Plan>>, clock: Clock) {
    match answer_all(&mut socket, &plan, clock).await {
        Ok(()) => {}
        // The other side left in the middle of an answer; whether it should have is for the client to say.
        Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {}
        Err(error) => eprintln!("upstream: {error}"),
    }
}

async fn answer_all(socket: &mut TcpStream, plan: &Mutex<Plan>, clock: Clock) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut input = Vec::with_capacity(4096);
    while let Some(is_chat) = read_request(socket, &mut input).await? {
        let plan = *plan.lock().expect("nobody panics with the plan in hand");
        if is_chat {
            answer(socket, plan, clock).await?;
        } else {
            socket.write_all(NOT_FOUND.as_bytes()).await?;
        }
    }
    Ok(())
}

/// Reads one request and forgets its body: whether it is a chat completion, or none if the other side closed.
async fn read_request(socket: &mut TcpStream, input: &mut Vec<u8>) -> Result<Option<bool>> {
    loop {
        if let Some(head) = memmem::find(input, b"\r\n\r\n") {
            let length = head + 4 + content_length(&input[..head])?;
            while input.len() < length {
                if socket.read_buf(input).await? == 0 {
                    return Err(Error::new(ErrorKind::UnexpectedEof, "the body of a request was cut"));
                }
            }
            let is_chat = input.starts_with(b"POST /v1/chat/completions ");
            input.drain(..length);
            return Ok(Some(is_chat));
        }
        if socket.read_buf(input).await? == 0 {
            return Ok(None);
        }
    }
}

fn content_length(head: &[u8]) -> Result<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let values = |name| head.lines().filter_map(move |line| line.strip_prefix(name));
    if values("transfer-encoding:").next().is_some() {
        return Err(Error::new(
            ErrorKind::InvalidData,
            "a request with a chunked body, which this mock does not read",
        ));
    }
    let length = values("content-length:").next().map_or(Ok(0), |value| value.trim().parse());
    length
        .map_err(|_| Error::new(ErrorKind::InvalidData, "a request with a content-length that is no number"))
}

async fn answer(socket: &mut TcpStream, plan: Plan, clock: Clock) -> Result<()> {
    socket.write_all(HEAD.as_bytes()).await?;
    socket
        .write_all(&http_chunk(&chunk(r#"{"role":"assistant","content":"","refusal":null}"#, "null")))
        .await?;
    let mut text = http_chunk(&chunk(&format!(r#"{{"content":"{}"}}"#, Stamp::BLANK), "null"));
    let stamp_at = memmem::find(&text, Stamp::BLANK.as_bytes()).expect("the text holds a blank stamp");
    let mut ticks = (!plan.interval.is_zero()).then(|| {
        let mut ticks = interval_at(Instant::now() + plan.interval, plan.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    });
    for place in 0..plan.events {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        Stamp { nanos: clock.nanos(), place }.write(&mut text[stamp_at..]);
        socket.write_all(&text).await?;
    }
    socket.write_all(&http_chunk(&chunk("{}", r#""stop""#))).await?;
    socket.write_all(&http_chunk(&usage(plan.events))).await?;
    socket.write_all(&http_chunk("[DONE]")).await?;
    socket.write_all(LAST_CHUNK.as_bytes()).await
}

fn http_chunk(data: &str) -> Vec<u8> {
    let event = format!("data: {data}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}

fn chunk(delta: &str, finish_reason: &str) -> String {
    body(&format!(r#""choices":[{{"index":0,"delta":{delta},"finish_reason":{finish_reason}}}]"#))
}

fn usage(events: u32) -> String {
    let total = events + 9;
    body(&format!(
        r#""choices":[],"usage":{{"prompt_tokens":9,"completion_tokens":{events},"total_tokens":{total}}}"#
    ))
}

fn body(rest: &str) -> String {
    let id = "chatcmpl-CQ7bR2xWmU0tVbJf9sKe4aLzYpHd";
    let object = r#""object":"chat.completion.chunk","created":1760000000"#;
    let model = r#""model":"bench-1-2025-10-09","system_fingerprint":"fp_6f2e1b7a90""#;
    format!(r#"{{"id":"{id}",{object},{model},{rest}}}"#)
}
