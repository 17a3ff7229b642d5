//! The clients: raw HTTP/1.1 on connections that stay open, counting the events while the transfer encoding
//! comes off.

use std::net::SocketAddr;
use std::time::Duration;

use memchr::{memchr, memmem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Failure;
use crate::stamp::{Clock, Stamp};

const BODY: &str = r#"{"model":"bench-1","stream":true,"stream_options":{"include_usage":true},
"messages":[{"role":"user","content":"Say something."}]}"#;

/// What one read may bring. Full-speed streams fill it.
const READ_BYTES: usize = 32 * 1024;

/// What each client does.
#[derive(Clone, Copy)]
pub struct Work {
    /// Answers, one after the other.
    pub answers: u32,
    /// Text events that each of them must have.
    pub events: u32,
    /// The time over which the starts of the clients are spread evenly.
    pub spread: Duration,
}

/// What the clients saw.
#[derive(Default)]
pub struct Samples {
    /// From the write of the request to the first text event, one for each answer: a role alone says nothing,
    /// and millpond does not send it alone.
    pub first_events_ns: Vec<u64>,
    /// From the upstream's write to the arrival, one for each text event.
    pub events_ns: Vec<u64>,
}

impl Samples {
    fn append(&mut self, mut other: Self) {
        self.first_events_ns.append(&mut other.first_events_ns);
        self.events_ns.append(&mut other.events_ns);
    }
}

/// Lets every client do the work, all of them at the same time.
pub async fn run(clients: Vec<Client>, work: Work) -> Result<(Vec<Client>, Samples), Failure> {
    let count = u32::try_from(clients.len())?;
    let mut tasks = JoinSet::new();
    for (mut client, place) in clients.into_iter().zip(0..) {
        tasks.spawn(async move {
            tokio::time::sleep(work.spread * place / count).await;
            let mut samples = Samples::default();
            samples.events_ns.reserve((work.answers * work.events) as usize);
            for _ in 0..work.answers {
                client.ask().await?;
                while !client.answer.is_over() {
                    client.read(&mut samples).await?;
                }
                client.answer.check(work.events)?;
            }
            Ok::<_, Failure>((client, samples))
        });
    }
    let mut samples = Samples::default();
    let mut clients = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let (client, seen) = done??;
        clients.push(client);
        samples.append(seen);
    }
    Ok((clients, samples))
}

/// Opens a stream on every client and reads so many text events of it; the streams are still open then.
pub async fn hold(clients: Vec<Client>, text_events: u32) -> Result<Vec<Client>, Failure> {
    let mut tasks = JoinSet::new();
    for mut client in clients {
        tasks.spawn(async move {
            client.ask().await?;
            while client.answer.tally.text_events < text_events {
                client.read(&mut Samples::default()).await?;
                if client.answer.is_over() {
                    return Err(Failure::from("a stream ended that should have stayed open"));
                }
            }
            Ok(client)
        });
    }
    let mut open = Vec::new();
    while let Some(client) = tasks.join_next().await {
        open.push(client??);
    }
    Ok(open)
}

/// One connection.
pub struct Client {
    socket: TcpStream,
    request: String,
    clock: Clock,
    asked_at: u64,
    answer: Answer,
}

impl Client {
    /// Connects one after the other and not too fast: a SYN that finds the proxy's backlog full is sent again
    /// only after a second.
    pub async fn connect_all(address: SocketAddr, clock: Clock, count: u32) -> Result<Vec<Self>, Failure> {
        let mut clients = Vec::new();
        for place in 0..count {
            if place % 50 == 49 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            clients.push(Self {
                socket,
                request: request(address),
                clock,
                asked_at: 0,
                answer: Answer::default(),
            });
        }
        Ok(clients)
    }

    async fn ask(&mut self) -> Result<(), Failure> {
        self.answer.restart();
        self.asked_at = self.clock.nanos();
        self.socket.write_all(self.request.as_bytes()).await?;
        Ok(())
    }

    async fn read(&mut self, samples: &mut Samples) -> Result<(), Failure> {
        self.answer.input.reserve(READ_BYTES);
        if self.socket.read_buf(&mut self.answer.input).await? == 0 {
            return Err(format!(
                "the connection closed in the middle of an answer ({:?})",
                self.answer.tally
            )
            .into());
        }
        let is_first = self.answer.tally.text_events == 0;
        let at = self.clock.nanos();
        self.answer.advance(at, samples)?;
        if is_first && self.answer.tally.text_events > 0 {
            samples.first_events_ns.push(at - self.asked_at);
        }
        Ok(())
    }
}

fn request(address: SocketAddr) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer bench\r\n\
         accept: text/event-stream\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    )
}

/// Where an answer stands in its transfer encoding.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Head,
    Size,
    /// So many bytes of the chunk are still to come.
    Data(usize),
    Trailer,
    Over,
}

/// An answer as it arrives: bytes in, a tally out.
#[derive(Default)]
struct Answer {
    phase: Phase,
    input: Vec<u8>,
    /// How much of `input` is done with.
    position: usize,
    /// The body without its transfer encoding, from the start of the current line.
    body: Vec<u8>,
    tally: Tally,
}

impl Answer {
    fn restart(&mut self) {
        self.phase = Phase::Head;
        self.tally = Tally::default();
    }

    fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    fn advance(&mut self, at: u64, samples: &mut Samples) -> Result<(), Failure> {
        while self.step()? {}
        self.input.drain(..self.position);
        self.position = 0;
        let mut from = 0;
        while let Some(length) = memchr(b'\n', &self.body[from..]) {
            self.tally.line(&self.body[from..from + length], at, samples)?;
            from += length + 1;
        }
        self.body.drain(..from);
        Ok(())
    }

    /// Takes one piece of the transfer encoding off; false if more input is needed.
    fn step(&mut self) -> Result<bool, Failure> {
        match self.phase {
            Phase::Head => return self.head(),
            Phase::Size => {
                let Some(line) = self.line() else { return Ok(false) };
                let size = std::str::from_utf8(line)?.split(';').next().unwrap_or_default().trim();
                let size =
                    usize::from_str_radix(size, 16).map_err(|_| format!("a chunk of the size {size:?}"))?;
                self.phase = if size == 0 { Phase::Trailer } else { Phase::Data(size) };
            }
            Phase::Data(0) => {
                let Some(line) = self.line() else { return Ok(false) };
                if !line.is_empty() {
                    return Err("a chunk is longer than its size".into());
                }
                self.phase = Phase::Size;
            }
            Phase::Data(missing) => {
                let input = &self.input[self.position..];
                let taken = missing.min(input.len());
                self.body.extend_from_slice(&input[..taken]);
                self.position += taken;
                self.phase = Phase::Data(missing - taken);
                return Ok(taken > 0);
            }
            Phase::Trailer => {
                let Some(line) = self.line() else { return Ok(false) };
                if line.is_empty() {
                    self.phase = Phase::Over;
                }
            }
            Phase::Over if self.position < self.input.len() => {
                return Err("bytes after the end of an answer".into());
            }
            Phase::Over => return Ok(false),
        }
        Ok(true)
    }

    fn head(&mut self) -> Result<bool, Failure> {
        let Some(length) = memmem::find(&self.input, b"\r\n\r\n") else { return Ok(false) };
        let head = String::from_utf8_lossy(&self.input[..length]).to_ascii_lowercase();
        if !head.starts_with("http/1.1 200 ") || !head.contains("\r\ntransfer-encoding: chunked") {
            return Err(format!("not a stream: {}", String::from_utf8_lossy(&self.input)).into());
        }
        self.position = length + 4;
        self.phase = Phase::Size;
        Ok(true)
    }

    /// The next whole line, without its end.
    fn line(&mut self) -> Option<&[u8]> {
        let input = &self.input[self.position..];
        let length = memchr(b'\n', input)?;
        self.position += length + 1;
        Some(input[..length].trim_ascii_end())
    }

    fn check(&self, text_events: u32) -> Result<(), Failure> {
        let tally = &self.tally;
        if tally.is_done && tally.text_events == text_events && self.body.is_empty() {
            return Ok(());
        }
        Err(format!("an answer should have {text_events} text events and [DONE], and had {tally:?}").into())
    }
}

/// What an answer has said so far.
#[derive(Default, Debug)]
struct Tally {
    events: u32,
    text_events: u32,
    is_done: bool,
}

impl Tally {
    fn line(&mut self, line: &[u8], at: u64, samples: &mut Samples) -> Result<(), Failure> {
        if line.is_empty() || line.starts_with(b":") {
            return Ok(());
        }
        let unexpected = |what: &str| Err(format!("{what}: {}", String::from_utf8_lossy(line)).into());
        let Some(data) = line.strip_prefix(b"data: ") else { return unexpected("not an event") };
        if self.is_done {
            return unexpected("an event after [DONE]");
        }
        self.events += 1;
        if data == b"[DONE]" {
            self.is_done = true;
        } else if let Some(stamp) = Stamp::find(data) {
            if stamp.place != self.text_events {
                return unexpected(&format!(
                    "text event {} is in the place of {}",
                    stamp.place, self.text_events
                ));
            }
            self.text_events += 1;
            samples.events_ns.push(at - stamp.nanos);
        } else if data.starts_with(br#"{"error""#) {
            return unexpected("an error");
        }
        Ok(())
    }
}
