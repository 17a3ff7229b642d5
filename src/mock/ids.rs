//! Ids, made from the prompt so that the same request gets the same answer.

use super::manner::Id;

/// A source of ids.
#[derive(Debug, Clone, Copy)]
pub struct Ids {
    seed: u64,
}

impl Ids {
    /// Makes a source from a number.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The id of a chunk by its position; `None` if the manner sends none.
    pub fn chunk(self, id: Id, position: usize) -> Option<String> {
        match id {
            Id::Same(prefix) => Some(format!("{prefix}{}", self.digits(0))),
            Id::Fresh(prefix) => Some(format!("{prefix}{}", self.digits(position as u64))),
            Id::FirstDiffers(first, _) if position == 0 => Some(format!("{first}{}", self.digits(0))),
            Id::FirstDiffers(_, rest) => Some(format!("{rest}{}", self.digits(1))),
            Id::Empty => Some(String::new()),
            Id::Number | Id::Absent => None,
        }
    }

    /// The id of a call; `again` counts the ids that one call got.
    pub fn call(self, prefix: &str, candidate: usize, slot: usize, again: usize) -> String {
        if prefix.is_empty() {
            return String::new();
        }
        let salt = 1000 + 100 * candidate + 10 * slot + 100_000 * again;
        format!("{prefix}{}", self.digits(salt as u64))
    }

    /// A whole number for manners whose ids are numbers.
    pub fn number(self) -> u64 {
        self.mixed(0) % 1_000_000
    }

    /// Padding whose length looks like chance.
    pub fn padding(self, position: usize) -> String {
        let letters = "abcdefghijklmnopqrstuvwxyz";
        let length = self.mixed(position as u64) % 26;
        letters.chars().take(length as usize).collect()
    }

    fn digits(self, salt: u64) -> String {
        format!("{:08x}", self.mixed(salt) & 0xffff_ffff)
    }

    /// The mixing step of SplitMix64.
    fn mixed(self, salt: u64) -> u64 {
        let mut word = self.seed.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}
