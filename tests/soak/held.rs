//! Thousands of silent streams at once: each gets its keep-alives, and none is left when the clients go.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::ALONE;
use crate::client::Client;
use crate::harness::{ask, provider, until, within};
use crate::process::{Mock, Process, may_open};
use crate::program::Program;

const STREAMS: usize = 2000;
/// Two sockets for each stream in millpond, with room.
const FILES: usize = 9000;
/// From the first request to the last departure.
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_silent_streams_are_kept_alive() {
    let _alone = ALONE.lock().await;
    if !may_open(FILES) {
        println!("skipped: {FILES} open files are needed (ulimit -n)");
        return;
    }
    let mock = Mock::start();
    let mine = provider("mine", mock.address, "");
    let config = format!("keep_alive = \"1s\"\nidle_timeout = \"5m\"\n{mine}");
    let program = Program::start("soak_held", &config, &[]).await;
    let process = Process(program.id());
    let before = process.holdings();
    let start = Instant::now();
    let mut asking = JoinSet::new();
    for _ in 0..STREAMS {
        let address = program.address;
        asking.spawn(async move {
            let mut client = Client::ask(address, &ask("mine/demo/openai/stall-3", true)).await;
            assert_eq!(client.head().await.status, 200);
            let (mut said, mut alive) = (String::new(), 0);
            while alive < 2 || !said.contains("data: ") {
                let chunk = client.chunk().await.unwrap();
                alive += usize::from(chunk == ": keep-alive\n\n");
                said += &chunk;
            }
            assert!(!said.contains("error"), "{said}");
            client
        });
    }
    let clients = within("keep-alives on all streams", asking.join_all()).await;
    let all_alive = start.elapsed();
    program
        .until_series("millpond_streams_active{gen_ai_provider_name=\"mine\"}", &STREAMS.to_string())
        .await;
    let held = process.holdings();
    assert!(held.taken >= STREAMS && held.made >= STREAMS, "{held:?}");
    drop(clients);
    program.until_series("millpond_streams_active{gen_ai_provider_name=\"mine\"}", "0").await;
    until("the end of all connections", async || mock.process().holdings().taken == 0).await;
    let took = start.elapsed();
    let each = (held.memory - before.memory) / STREAMS as u64;
    println!("{STREAMS} streams were alive after {all_alive:?} and gone after {took:?}, {each} KiB each");
    assert!(took <= LIMIT, "{took:?}");
    program.stop().await;
}
