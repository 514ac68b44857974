//! Prefix codes for small signed numbers that gather around zero: the changes of a value that wanders.
//!
//! The books are fixed, so no vector carries one and a table that tells several numbers at once is made a single time.
//!
//! ```text
//! table entry (8 B):  ┌────┬────┬─────┬────┬──────────────────┐
//!                     │ n₀ │ n₁ │ ... │ n₆ │ numbers | bits<<3│     of the codes that lie whole in the next 11 bits
//!                     └────┴────┴─────┴────┴──────────────────┘
//! ```

use std::sync::LazyLock;

use super::{Malformed, VALUES_MAX};

/// Lengths in bits of the codes of 0, −1, 1, −2, 2, ...; each book is complete.
pub(super) const BOOKS: [&[u8]; 3] = [
    &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11],
    &[2, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11],
    &[2, 3, 3, 3, 3, 4, 4, 4, 5, 6, 7, 8, 9, 10, 11, 11],
];
/// Most symbols of a book.
pub(super) const SYMBOLS_MAX: usize = 16;
/// Longest code.
const CODE_BITS_MAX: usize = 11;
/// Numbers that one entry tells at most.
const ENTRY_NUMBERS: usize = 7;
/// Look-ups that one 8-byte window, of which up to 7 bits were used before, is good for.
const WINDOW_LOOKUPS: usize = 5;
/// How far behind the last number decoding may write.
const SLACK: usize = WINDOW_LOOKUPS * ENTRY_NUMBERS + 8;

/// Room for the numbers of half a vector.
pub(super) type Numbers = [i8; VALUES_MAX / 2 + SLACK];
pub(super) const NO_NUMBERS: Numbers = [0; VALUES_MAX / 2 + SLACK];

struct Book {
    lengths: [u8; SYMBOLS_MAX],
    /// With the first bit lowest.
    codes: [u16; SYMBOLS_MAX],
    entries: Box<[u64; 1 << CODE_BITS_MAX]>,
}

static TABLES: LazyLock<[Book; BOOKS.len()]> = LazyLock::new(|| BOOKS.map(Book::new));

/// The number that a symbol stands for.
pub(super) fn number_of(symbol: usize) -> i64 {
    ((symbol >> 1) as i64) ^ -((symbol & 1) as i64)
}

/// The symbol of a number, if it were in the book.
pub(super) fn symbol_of(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

impl Book {
    fn new(lengths_of_symbols: &[u8]) -> Book {
        let mut lengths = [0; SYMBOLS_MAX];
        lengths[..lengths_of_symbols.len()].copy_from_slice(lengths_of_symbols);
        let codes = canonical_codes(&lengths);
        let mut entries = Box::new([0; 1 << CODE_BITS_MAX]);
        for (window, entry) in entries.iter_mut().enumerate() {
            *entry = entry_of(window, &lengths, &codes);
        }
        Book { lengths, codes, entries }
    }
}

/// Codes in the order of (length, symbol), each one more than the one before, continued with zeros; then turned round.
fn canonical_codes(lengths: &[u8; SYMBOLS_MAX]) -> [u16; SYMBOLS_MAX] {
    let mut codes = [0; SYMBOLS_MAX];
    let mut next = 0_u16;
    for length in 1..=CODE_BITS_MAX as u8 {
        for symbol in (0..SYMBOLS_MAX).filter(|&s| lengths[s] == length) {
            codes[symbol] = next.reverse_bits() >> (16 - length);
            next += 1;
        }
        next <<= 1;
    }
    codes
}

fn entry_of(window: usize, lengths: &[u8; SYMBOLS_MAX], codes: &[u16; SYMBOLS_MAX]) -> u64 {
    let (mut entry, mut numbers, mut bits) = ([0_u8; 8], 0, 0);
    let fits = |symbol: usize, bits: usize| {
        let length = usize::from(lengths[symbol]);
        let code = (window >> bits) & ((1 << length) - 1);
        length > 0 && bits + length <= CODE_BITS_MAX && code == usize::from(codes[symbol])
    };
    while numbers < ENTRY_NUMBERS {
        let Some(symbol) = (0..SYMBOLS_MAX).find(|&symbol| fits(symbol, bits)) else { break };
        entry[numbers] = number_of(symbol) as u8;
        numbers += 1;
        bits += usize::from(lengths[symbol]);
    }
    entry[7] = (numbers | bits << 3) as u8;
    u64::from_le_bytes(entry)
}

/// Appends the codes of these symbols, all of them in the book.
pub(super) fn put(book: usize, symbols: &[u8], out: &mut Vec<u8>) {
    let book = &TABLES[book];
    let (mut word, mut used) = (0_u64, 0_u32);
    for &symbol in symbols {
        let symbol = usize::from(symbol) % SYMBOLS_MAX;
        word |= u64::from(book.codes[symbol]) << used;
        used += u32::from(book.lengths[symbol]);
        if used >= 48 {
            out.extend_from_slice(&word.to_le_bytes()[..6]);
            word >>= 48;
            used -= 48;
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..used.div_ceil(8) as usize]);
}

/// Codes being read, and the numbers they tell.
pub(super) struct Half<'a> {
    bytes: &'a [u8],
    bit: usize,
    count: usize,
    at: usize,
    pub(super) numbers: Numbers,
}

impl<'a> Half<'a> {
    /// `count` numbers, at most half a vector of them, from codes that fill `bytes` but for less than a byte.
    pub(super) fn new(bytes: &'a [u8], count: usize) -> Half<'a> {
        Half { bytes, bit: 0, count, at: 0, numbers: NO_NUMBERS }
    }

    /// The next bits, if there is a whole window of them, and room for all the numbers they may tell.
    #[inline(always)]
    fn window(&self) -> Option<u64> {
        let window = self.bytes.get(self.bit >> 3..)?.first_chunk::<8>()?;
        let has_room = self.at + WINDOW_LOOKUPS * ENTRY_NUMBERS <= self.count;
        has_room.then(|| u64::from_le_bytes(*window) >> (self.bit & 7))
    }

    fn finish(&mut self, book: &Book) -> Result<(), Malformed> {
        while let Some(mut window) = self.window() {
            for _ in 0..WINDOW_LOOKUPS {
                self.tell(book, &mut window);
            }
        }
        while self.at + ENTRY_NUMBERS <= self.count && self.bit < self.bytes.len() * 8 {
            self.tell(book, &mut short_window(self.bytes, self.bit));
        }
        while self.at < self.count {
            let number = book.entries[short_window(self.bytes, self.bit) as usize % (1 << CODE_BITS_MAX)] as i8;
            self.numbers[self.at] = number;
            self.bit += usize::from(book.lengths[symbol_of(i64::from(number)) as usize % SYMBOLS_MAX]);
            self.at += 1;
        }
        if self.bit.div_ceil(8) == self.bytes.len() { Ok(()) } else { Err(Malformed("codes have another length")) }
    }

    /// Writes the numbers that the lowest bits of a window tell, and drops those bits.
    #[inline(always)]
    fn tell(&mut self, book: &Book, window: &mut u64) {
        let entry = book.entries[*window as usize % (1 << CODE_BITS_MAX)];
        // The eighth is overwritten by what follows.
        if let Some(room) = self.numbers.get_mut(self.at..self.at + 8) {
            room.copy_from_slice(&entry.to_le_bytes().map(|b| b as i8));
        }
        let told = (entry >> 56) as usize;
        self.at += told & 7;
        self.bit += told >> 3;
        *window >>= told >> 3;
    }
}

/// Reads both halves of a vector's numbers, side by side so that neither waits for the other.
pub(super) fn take(book: usize, [a, b]: [&mut Half<'_>; 2]) -> Result<(), Malformed> {
    let book = &TABLES[book];
    while let (Some(mut window_a), Some(mut window_b)) = (a.window(), b.window()) {
        for _ in 0..WINDOW_LOOKUPS {
            a.tell(book, &mut window_a);
            b.tell(book, &mut window_b);
        }
    }
    a.finish(book)?;
    b.finish(book)
}

/// At least the longest code from `bit` on, zeros after the end.
fn short_window(bytes: &[u8], bit: usize) -> u64 {
    let rest = bytes.get(bit >> 3..).unwrap_or(&[]);
    let mut window = [0; 8];
    let len = rest.len().min(4);
    window[..len].copy_from_slice(&rest[..len]);
    u64::from_le_bytes(window) >> (bit & 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_book_is_complete() {
        for book in BOOKS {
            let total: usize = book.iter().map(|&length| 1 << (CODE_BITS_MAX - usize::from(length))).sum();
            assert_eq!(total, 1 << CODE_BITS_MAX);
        }
        for book in TABLES.iter() {
            assert!(book.entries.iter().all(|entry| entry >> 56 & 7 > 0), "every window tells a number");
        }
    }
}
