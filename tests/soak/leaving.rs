//! How soon an upstream knows that the client left: its connection is closed.

use std::time::{Duration, Instant};

use crate::ALONE;
use crate::client::Client;
use crate::harness::ask;
use crate::program::Program;
use crate::upstream::{FIRST, Upstream};

const RUNS: usize = 120;
/// What the median must keep.
const SOON: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_knows_soon_that_the_client_left() {
    let _alone = ALONE.lock().await;
    let mut upstream = Upstream::start().await;
    let program = Program::before("soak_leaving", upstream.address, "", &[]).await;
    let mut took = Vec::new();
    for _ in 0..RUNS {
        let mut client = Client::ask(program.address, &ask("mine/m", true)).await;
        let (mut connection, _) = upstream.request().await;
        connection.begin().await;
        connection.chunk(FIRST).await;
        assert_eq!(client.head().await.status, 200);
        assert!(client.chunk().await.unwrap().contains("Hello"));
        let left = Instant::now();
        drop(client);
        connection.closed().await;
        took.push(left.elapsed());
    }
    took.sort_unstable();
    let (median, most) = (took[RUNS / 2], took[RUNS - 1]);
    println!("a departure reached the upstream after {median:?} at the median of {RUNS}, {most:?} at most");
    assert!(median <= SOON, "{median:?}");
    program.stop().await;
}
