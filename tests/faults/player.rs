//! The upstream of all scenarios without TLS: the first part of the path says which one it plays.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::time::{interval, sleep};

use crate::harness::DEADLINE;
use crate::scenario::Act;
use crate::upstream::{Connection, Upstream};

/// The scripts by number, one for each attempt.
pub type Scripts = HashMap<usize, Vec<Vec<Act>>>;

/// The upstream; it ends with the test's runtime.
pub struct Player {
    pub address: SocketAddr,
    asked: Arc<Mutex<HashMap<usize, usize>>>,
}

impl Player {
    pub async fn start(scripts: Scripts) -> Player {
        let upstream = Upstream::start().await;
        let address = upstream.address;
        let asked = Arc::new(Mutex::new(HashMap::new()));
        let (scripts, counter) = (Arc::new(scripts), Arc::clone(&asked));
        upstream.each(move |connection| serve(connection, Arc::clone(&scripts), Arc::clone(&counter)));
        Player { address, asked }
    }

    /// How many requests came for a scenario.
    pub fn asked(&self, number: usize) -> usize {
        self.asked.lock().unwrap().get(&number).copied().unwrap_or(0)
    }
}

async fn serve(mut connection: Connection, scripts: Arc<Scripts>, asked: Arc<Mutex<HashMap<usize, usize>>>) {
    while let Some(request) = connection.next_request().await {
        let number = request.line.split('/').nth(1).unwrap().parse().unwrap();
        let attempt = {
            let mut asked = asked.lock().unwrap();
            let attempt = asked.entry(number).or_default();
            *attempt += 1;
            *attempt
        };
        let script = &scripts[&number];
        for act in &script[attempt.min(script.len()) - 1] {
            match act {
                Act::Write(bytes) => {
                    if !connection.try_write(bytes).await {
                        return;
                    }
                }
                Act::Pause(time) => sleep(*time).await,
                Act::Repeat(bytes, pace) => {
                    let mut tick = interval(*pace);
                    while connection.try_write(bytes).await {
                        tick.tick().await;
                    }
                    return;
                }
                Act::Silence => return connection.open_for(DEADLINE).await,
                Act::Close => return,
                Act::Reset => return connection.reset(),
            }
        }
    }
}
