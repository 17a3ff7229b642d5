//! What was heard so far of a text that may be said again in full: its length and a hash, not the text.

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a over the bytes heard: cheap, and equal however the bytes were cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    length: usize,
    hash: u64,
}

impl Default for Heard {
    fn default() -> Self {
        Heard { length: 0, hash: OFFSET }
    }
}

impl Heard {
    pub(crate) fn is_empty(self) -> bool {
        self.length == 0
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.length += 1;
        self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(PRIME);
    }

    pub(crate) fn push(&mut self, text: &str) {
        text.bytes().for_each(|byte| self.byte(byte));
    }

    /// What `whole` says beyond what was heard; `None` if it does not begin with that.
    pub(crate) fn tail(self, whole: &str) -> Option<&str> {
        let (head, tail) = whole.split_at_checked(self.length)?;
        let mut heard = Heard::default();
        heard.push(head);
        (heard == self).then_some(tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_text_gives_its_tail() {
        let mut heard = Heard::default();
        for piece in ["a", "", "é"] {
            heard.push(piece);
        }
        assert_eq!(heard.tail("aéb"), Some("b"));
        assert_eq!(heard.tail("aé"), Some(""));
        assert_eq!(heard.tail("xé!"), None);
        assert_eq!(heard.tail("a"), None);
    }
}
