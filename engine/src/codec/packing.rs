//! Packing: integers as a base plus a multiple of a divisor, the multiples in few bits each.
//!
//! A *packing* of the format page. Its form is chosen by exact size, with a handicap for what is slower to read:
//! *plain* gives every value the same width; *patched* lets a few not fit; *coded* gives frequent values fewer bits.

use super::exceptions::{Exceptions, Taken};
use super::prefix::{self, BOOKS, Half, SYMBOLS_MAX};
use super::{Malformed, VALUES_MAX, bits};
use crate::bytes::{Cursor, put_varint, put_zigzag, varint_size, zigzag_size};

/// Forms up to here are plain, of that width.
const PLAIN_MAX: u8 = 64;
/// From here on patched, of the width above it.
const PATCHED: u8 = 65;
/// From here on coded, by the book above it.
const CODED: u8 = 129;
/// Most low bits beside a code.
const LOW_BITS_MAX: u32 = 56;

/// Values looked at to find the middle.
const SAMPLE: usize = 33;

/// How given values will be packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packing {
    /// The smallest value; the divisor divides every distance to it.
    min: i64,
    divisor: u64,
    /// The multiple that is stored as zero.
    start: i64,
    form: Form,
    /// Bytes, nearly.
    size: usize,
    cost: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain { width: u32 },
    Patched { width: u32 },
    Coded { book: usize, low: u32 },
}

impl Packing {
    /// The packing of least cost.
    pub(super) fn of(values: &[i64]) -> Packing {
        let plain = Packing::plain(values);
        let Form::Plain { width: 2.. } = plain.form else { return plain };
        let multiples: Vec<i64> = plain.multiples(values).collect();
        let middle = middle_of(&multiples);
        let widths = Widths::of(multiples.iter().map(|m| m.wrapping_sub(middle)));
        let patched = plain.patched(middle, &widths, &multiples);
        let coded = plain.coded(middle, &widths, &multiples);
        plain.cheaper(patched).cheaper(coded)
    }

    /// The packing that gives every value the same width.
    pub(super) fn plain(values: &[i64]) -> Packing {
        let min = values.iter().copied().min().unwrap_or(0);
        let offset_max = values.iter().copied().max().unwrap_or(0).wrapping_sub(min) as u64;
        let divisor = match offset_max {
            0 | 1 => 1,
            _ => common_divisor(values.iter().map(|v| v.wrapping_sub(min) as u64)),
        };
        let width = bits::width_of(offset_max / divisor);
        let packing = Packing { min, divisor, start: 0, form: Form::Plain { width }, size: 0, cost: 0 };
        let size = packing.head_size() + bits::packed_size(values.len(), width);
        Packing { size, cost: size, ..packing }
    }

    /// Bytes that [`Packing::put`] writes, nearly.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Its size, and what reading it costs beyond that of a plain one, as bytes.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// The best width, if some values need not fit.
    fn patched(&self, middle: i64, widths: &Widths, multiples: &[i64]) -> Packing {
        let width = widths.best();
        let around = middle.wrapping_sub((1_u64 << width >> 1) as i64);
        // What is near need not lie evenly around the middle.
        let near = |m: &&i64| bits::width_of(prefix::symbol_of(m.wrapping_sub(middle))) <= width + 1;
        let (mut least, mut greatest, mut far) = (middle, middle, multiples.len());
        for &multiple in multiples.iter().filter(near) {
            (least, greatest) = (least.min(multiple), greatest.max(multiple));
            far -= 1;
        }
        let between = bits::width_of(greatest.wrapping_sub(least) as u64);
        let around = self.with_patches(around, width, widths.wider(width), widths);
        match between < 64 {
            true => around.cheaper(self.with_patches(least, between, far, widths)),
            false => around,
        }
    }

    fn with_patches(&self, start: i64, width: u32, exceptions: usize, widths: &Widths) -> Packing {
        let packing = Packing { start, form: Form::Patched { width }, ..self.clone() };
        let exceptions = Exceptions::size_of(exceptions, widths.count, widths.widest() + 1);
        let size = packing.head_size() + exceptions + bits::packed_size(widths.count, width);
        Packing { size, cost: size + size / 64, ..packing }
    }

    /// The first of two unless the second costs less.
    fn cheaper(self, other: Packing) -> Packing {
        if other.cost < self.cost { other } else { self }
    }

    /// The best book and number of low bits.
    fn coded(&self, middle: i64, widths: &Widths, multiples: &[i64]) -> Packing {
        let low = widths.median().saturating_sub(2).min(LOW_BITS_MAX - 1);
        let fine = Symbols::of(multiples.iter().map(|m| m.wrapping_sub(middle) >> low));
        let coarse = fine.halved();
        let choices = (0..BOOKS.len()).flat_map(|book| {
            let bits =
                |symbols: &Symbols, low: u32| (symbols.bits(book, widths) + widths.count * low as usize, book, low);
            [bits(&fine, low), bits(&coarse, low + 1)]
        });
        let (bits, book, low) = choices.min().unwrap_or_default();
        let packing = Packing { start: middle, form: Form::Coded { book, low }, ..self.clone() };
        let size = packing.head_size() + 6 + bits / 8;
        Packing { size, cost: size + size / 16 + 4, ..packing }
    }

    /// Writes the values that this packing was made of.
    pub(super) fn put(&self, values: &[i64], out: &mut Vec<u8>) {
        put_zigzag(out, self.base());
        put_varint(out, self.divisor);
        match self.form {
            Form::Plain { width } => self.put_plain(width, values, out),
            Form::Patched { width } => self.put_patched(width, values, out),
            Form::Coded { book, low } => self.put_coded(book, low, values, out),
        }
    }

    fn put_plain(&self, width: u32, values: &[i64], out: &mut Vec<u8>) {
        out.push(width as u8);
        bits::pack(self.multiples(values).map(|m| m as u64), width, out);
    }

    fn put_patched(&self, width: u32, values: &[i64], out: &mut Vec<u8>) {
        out.push(PATCHED + width as u8);
        let mut multiples: Vec<i64> = self.multiples(values).collect();
        let mut exceptions = Exceptions::default();
        for (at, multiple) in multiples.iter_mut().enumerate() {
            if bits::width_of(*multiple as u64) > width {
                exceptions.push(at, prefix::symbol_of(*multiple));
                *multiple = 0;
            }
        }
        exceptions.put(values.len(), out);
        bits::pack(multiples.iter().map(|&m| m as u64), width, out);
    }

    fn put_coded(&self, book: usize, low: u32, values: &[i64], out: &mut Vec<u8>) {
        out.push(CODED + book as u8);
        out.push(low as u8);
        let multiples: Vec<i64> = self.multiples(values).collect();
        let mut exceptions = Exceptions::default();
        let mut symbols = Vec::with_capacity(values.len());
        for (at, &multiple) in multiples.iter().enumerate() {
            let symbol = prefix::symbol_of(multiple >> low);
            let coded = symbol < BOOKS[book].len() as u64;
            if !coded {
                exceptions.push(at, prefix::symbol_of(multiple));
            }
            symbols.push(if coded { symbol as u8 } else { 0 });
        }
        exceptions.put(values.len(), out);
        let (first, second) = symbols.split_at(first_half(symbols.len()));
        let (mut codes, mut second_codes) = (Vec::with_capacity(values.len()), Vec::with_capacity(values.len()));
        prefix::put(book, first, &mut codes);
        prefix::put(book, second, &mut second_codes);
        put_varint(out, codes.len() as u64);
        put_varint(out, second_codes.len() as u64);
        out.extend_from_slice(&codes);
        out.extend_from_slice(&second_codes);
        bits::pack(multiples.iter().map(|&m| m as u64 & ((1 << low) - 1)), low, out);
    }

    /// How often the divisor fits between the base and each value, wrapping around.
    fn multiples<'a>(&self, values: &'a [i64]) -> impl Iterator<Item = i64> + 'a {
        let Packing { min, divisor, start, .. } = *self;
        values.iter().map(move |value| {
            let offset = value.wrapping_sub(min) as u64;
            let multiple = if divisor == 1 { offset } else { offset / divisor };
            (multiple as i64).wrapping_sub(start)
        })
    }

    /// The value that is stored as zero.
    fn base(&self) -> i64 {
        self.min.wrapping_add(self.start.wrapping_mul(self.divisor as i64))
    }

    fn head_size(&self) -> usize {
        zigzag_size(self.base()) + varint_size(self.divisor) + 1
    }
}

/// The middle one of a sample.
pub(super) fn middle_of(values: &[i64]) -> i64 {
    let mut sample = [0; SAMPLE];
    let step = values.len().div_ceil(SAMPLE).max(1);
    let len = values.iter().step_by(step).zip(&mut sample).map(|(&v, s)| *s = v).count();
    sample[..len].sort_unstable();
    sample[..len].get(len / 2).copied().unwrap_or(0)
}

/// How many values need how many bits, signed.
pub(super) struct Widths {
    count: usize,
    of_width: [u16; 65],
}

impl Widths {
    pub(super) fn of(distances: impl Iterator<Item = i64>) -> Widths {
        // Neighbours count apart, so that one need not wait for the other.
        let mut counts = [[0_u16; 65]; 4];
        for (nth, distance) in distances.enumerate() {
            counts[nth % 4][bits::width_of(prefix::symbol_of(distance)) as usize] += 1;
        }
        let [a, b, c, d] = counts;
        let of_width: [u16; 65] = std::array::from_fn(|width| a[width] + b[width] + c[width] + d[width]);
        Widths { count: of_width.iter().map(|&n| usize::from(n)).sum(), of_width }
    }

    /// Bits of all values together, if each had just its own.
    pub(super) fn total(&self) -> usize {
        self.of_width.iter().enumerate().map(|(width, &n)| width * usize::from(n)).sum()
    }

    fn widest(&self) -> u32 {
        self.of_width.iter().rposition(|&n| n > 0).unwrap_or(0) as u32
    }

    /// Values that need more bits than these.
    fn wider(&self, width: u32) -> usize {
        self.of_width[width as usize + 1..].iter().map(|&n| usize::from(n)).sum()
    }

    /// The width, less than 64, at which values and exceptions take least.
    fn best(&self) -> u32 {
        let widest = self.widest();
        let each = (bits::width_of(self.count as u64) + widest) as usize;
        let bits = |width: u32| self.count * width as usize + self.wider(width) * each;
        (0..=widest.min(63)).min_by_key(|&width| bits(width)).unwrap_or(0)
    }

    /// The width that half of the values fit.
    fn median(&self) -> u32 {
        let mut fit = 0;
        let fits_half = |n: &u16| {
            fit += usize::from(*n);
            fit * 2 >= self.count
        };
        self.of_width.iter().position(fits_half).unwrap_or(0) as u32
    }
}

/// How often each symbol occurs, up to twice as many as a book has; the last counts all others.
struct Symbols([u16; SYMBOLS_MAX * 2 + 1]);

impl Symbols {
    fn of(numbers: impl Iterator<Item = i64>) -> Symbols {
        let mut counts = [[0_u16; SYMBOLS_MAX * 2 + 1]; 4];
        for (nth, number) in numbers.enumerate() {
            counts[nth % 4][prefix::symbol_of(number).min(SYMBOLS_MAX as u64 * 2) as usize] += 1;
        }
        let [a, b, c, d] = counts;
        Symbols(std::array::from_fn(|symbol| a[symbol] + b[symbol] + c[symbol] + d[symbol]))
    }

    /// The symbols of the numbers without their lowest bit.
    fn halved(&self) -> Symbols {
        let mut halved = [0; SYMBOLS_MAX * 2 + 1];
        for (symbol, count) in self.0.iter().enumerate() {
            let half = prefix::symbol_of(prefix::number_of(symbol) >> 1) as usize;
            halved[if symbol == SYMBOLS_MAX * 2 { symbol } else { half }] += count;
        }
        Symbols(halved)
    }

    /// Bits of codes and exceptions; an exception has the code of zero.
    fn bits(&self, book: usize, widths: &Widths) -> usize {
        let lengths = BOOKS[book];
        let exception = lengths[0] as usize + (bits::width_of(widths.count as u64) + widths.widest()) as usize;
        let bits =
            |(symbol, n): (usize, &u16)| usize::from(*n) * lengths.get(symbol).map_or(exception, |&l| usize::from(l));
        self.0.iter().enumerate().map(bits).sum()
    }
}

/// Numbers whose codes are in the first of two strings.
fn first_half(count: usize) -> usize {
    count.div_ceil(2)
}

/// What was read of a packing: value *i* is base + divisor × the *i*-th multiple.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) base: i64,
    pub(super) divisor: i64,
}

/// Reads the multiples of a packing of as many values as `out` has room for.
pub(super) fn take_multiples(cursor: &mut Cursor<'_>, out: &mut [i64]) -> Result<Scale, Malformed> {
    let base = cursor.zigzag()?;
    let divisor = cursor.varint()? as i64;
    if divisor == 0 {
        return Err(Malformed("divisor is zero"));
    }
    match cursor.u8()? {
        width @ 0..=PLAIN_MAX => bits::take(cursor, u32::from(width), out)?,
        form @ PATCHED..CODED => take_patched(u32::from(form - PATCHED), cursor, out)?,
        form if usize::from(form - CODED) < BOOKS.len() => take_coded(usize::from(form - CODED), cursor, out)?,
        _ => return Err(Malformed("unknown form of packing")),
    }
    Ok(Scale { base, divisor })
}

/// Reads a packing.
pub(super) fn take(cursor: &mut Cursor<'_>, out: &mut [i64]) -> Result<(), Malformed> {
    let Scale { base, divisor } = take_multiples(cursor, out)?;
    match divisor {
        1 => out.iter_mut().for_each(|v| *v = base.wrapping_add(*v)),
        _ => out.iter_mut().for_each(|v| *v = base.wrapping_add(divisor.wrapping_mul(*v))),
    }
    Ok(())
}

fn take_patched(width: u32, cursor: &mut Cursor<'_>, out: &mut [i64]) -> Result<(), Malformed> {
    let exceptions = Taken::take(cursor, out.len())?;
    bits::take(cursor, width, out)?;
    exceptions.apply(out, |amount| ((amount >> 1) as i64) ^ -((amount & 1) as i64))
}

fn take_coded(book: usize, cursor: &mut Cursor<'_>, out: &mut [i64]) -> Result<(), Malformed> {
    let low = u32::from(cursor.u8()?);
    if low > LOW_BITS_MAX {
        return Err(Malformed("too many low bits"));
    }
    let exceptions = Taken::take(cursor, out.len())?;
    let lengths = [cursor.varint_max(VALUES_MAX)?, cursor.varint_max(VALUES_MAX)?];
    let middle = first_half(out.len());
    let mut first = Half::new(cursor.take(lengths[0])?, middle);
    let mut second = Half::new(cursor.take(lengths[1])?, out.len() - middle);
    prefix::take(book, [&mut first, &mut second])?;
    if low > 0 {
        bits::take(cursor, low, out)?;
    }
    for (values, half) in [(0..middle, first), (middle..out.len(), second)] {
        let values = out[values].iter_mut().zip(&half.numbers);
        match low {
            0 => values.for_each(|(v, &number)| *v = i64::from(number)),
            _ => values.for_each(|(v, &number)| *v |= i64::from(number) << low),
        }
    }
    exceptions.apply(out, |amount| ((amount >> 1) as i64) ^ -((amount & 1) as i64))
}

/// The greatest number that divides all of these; 1 when all are zero.
pub(crate) fn common_divisor(offsets: impl Iterator<Item = u64>) -> u64 {
    let mut divisor = 0;
    for offset in offsets {
        if divisor == 0 {
            divisor = offset;
        } else if offset % divisor != 0 {
            divisor = greatest_common_divisor(divisor, offset);
        }
        if divisor == 1 {
            break;
        }
    }
    divisor.max(1)
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
