//! The state of a model as bytes, and back: little-endian, with a version before and a checksum behind.

use super::calibration::Calibration;
use super::novelty::Seen;
use super::season::Slots;
use super::{CLIP_WIDTHS, FEATURES, Level, Model, RECENT, Settings, clip_of};

/// The bytes are not those of a model of these settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Corrupt;

const VERSION: u32 = 4;

/// Most things of a kind that are read.
const LENGTH_MAX: usize = 1 << 20;

#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
    fn int(&mut self, number: i64) {
        self.bytes(&number.to_le_bytes());
    }
    fn float(&mut self, number: f64) {
        self.bytes(&number.to_bits().to_le_bytes());
    }
    fn length(&mut self, length: usize) {
        self.int(length as i64);
    }
    fn singles(&mut self, numbers: &[f32]) {
        self.length(numbers.len());
        numbers.iter().for_each(|number| self.bytes(&number.to_bits().to_le_bytes()));
    }
}

struct In<'a>(&'a [u8]);

impl In<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Corrupt> {
        let (first, rest) = self.0.split_first_chunk().ok_or(Corrupt)?;
        self.0 = rest;
        Ok(*first)
    }
    fn int(&mut self) -> Result<i64, Corrupt> {
        self.take().map(i64::from_le_bytes)
    }
    fn float(&mut self) -> Result<f64, Corrupt> {
        self.take().map(|bytes| f64::from_bits(u64::from_le_bytes(bytes)))
    }
    fn length(&mut self) -> Result<usize, Corrupt> {
        usize::try_from(self.int()?).ok().filter(|length| *length <= LENGTH_MAX).ok_or(Corrupt)
    }
    fn many<T>(&mut self, one: impl Fn(&mut Self) -> Result<T, Corrupt>) -> Result<Vec<T>, Corrupt> {
        (0..self.length()?).map(|_| one(self)).collect()
    }
    fn single(&mut self) -> Result<f32, Corrupt> {
        self.take().map(|bytes| f32::from_bits(u32::from_le_bytes(bytes)))
    }
}

fn put_level(out: &mut Out, level: &Level) {
    [level.level, level.trend, level.deviation, level.long].iter().for_each(|number| out.float(*number));
    out.int(level.count as i64);
}

/// A level as fast as another.
fn level(bytes: &mut In<'_>, like: &Level) -> Result<Level, Corrupt> {
    let (level, trend) = (bytes.float()?, bytes.float()?);
    let (deviation, long) = (bytes.float()?, bytes.float()?);
    Ok(Level { level, trend, deviation, long, count: bytes.int()?.cast_unsigned(), ..*like })
}

fn put_calibration(out: &mut Out, calibration: &Calibration) {
    let (counts, numbers, since) = calibration.parts();
    out.singles(counts);
    numbers.iter().for_each(|number| out.float(*number));
    since.iter().for_each(|points| out.int(i64::from(*points)));
}

fn calibration(bytes: &mut In<'_>, clip: f64) -> Result<Calibration, Corrupt> {
    let counts = bytes.many(In::single)?;
    let mut numbers = [0.0; 6];
    for number in &mut numbers {
        *number = bytes.float()?;
    }
    let mut points = || u32::try_from(bytes.int()?).map_err(|_| Corrupt);
    let since = [points()?, points()?];
    Calibration::from_parts(counts, numbers, since, clip).ok_or(Corrupt)
}

fn put_slots(out: &mut Out, slots: Option<&Slots>) {
    let Some(slots) = slots else { return };
    let (means, rest) = slots.parts();
    out.singles(means);
    for numbers in rest {
        out.length(numbers.len());
        numbers.iter().for_each(|number| out.bytes(&number.to_le_bytes()));
    }
}

fn slots(bytes: &mut In<'_>, like: Option<&Slots>) -> Result<Option<Slots>, Corrupt> {
    let Some(like) = like else { return Ok(None) };
    let means = bytes.many(In::single)?;
    let mut numbers = || bytes.many(|bytes| bytes.take().map(u32::from_le_bytes));
    let (counts, strange) = (numbers()?, numbers()?);
    let read = Slots::from_parts(means, counts, strange).ok_or(Corrupt)?;
    if read.parts().0.len() == like.parts().0.len() { Ok(Some(read)) } else { Err(Corrupt) }
}

impl Model {
    /// Its state. The settings are not in it: they belong to the baseline.
    pub(crate) fn save(&self) -> Vec<u8> {
        let mut out = Out::default();
        out.bytes(&VERSION.to_le_bytes());
        out.int(i64::from(self.first_ns.is_some()));
        out.int(self.first_ns.unwrap_or(0));
        out.int(self.last_ns);
        out.int(self.rebased_ns);
        out.int(i64::from(self.held_ns.is_some()));
        out.int(self.held_ns.unwrap_or(0));
        out.int(self.novel_from as i64);
        out.int(self.count as i64);
        [&self.seasons.day, &self.seasons.week, &self.seasons.month]
            .iter()
            .for_each(|s| put_slots(&mut out, s.as_ref()));
        [&self.fast, &self.slow, &self.line, &self.apart, &self.course]
            .iter()
            .for_each(|level| put_level(&mut out, level));
        out.length(self.recent.len());
        self.recent.iter().for_each(|value| out.float(*value));
        for seen in &self.seen {
            let (resolution, bins) = seen.parts();
            out.float(resolution);
            out.length(bins.len());
            bins.for_each(|(bin, time)| {
                out.int(bin);
                out.int(time);
            });
        }
        out.float(self.low);
        out.float(self.high);
        self.calibrations.iter().chain([&self.widths]).for_each(|calibration| put_calibration(&mut out, calibration));
        let sum = crc32fast::hash(&out.0);
        out.bytes(&sum.to_le_bytes());
        out.0
    }

    /// The model that [`Model::save`] was called on, with the settings that it had.
    ///
    /// # Errors
    /// [`Corrupt`].
    pub(crate) fn restore(bytes: &[u8], settings: &Settings) -> Result<Model, Corrupt> {
        let (body, sum) = bytes.split_last_chunk().ok_or(Corrupt)?;
        if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
            return Err(Corrupt);
        }
        let mut bytes = In(body);
        let mut model = Model::new(settings);
        if u32::from_le_bytes(bytes.take()?) != VERSION {
            return Err(Corrupt);
        }
        let has_first = bytes.int()? != 0;
        model.first_ns = Some(bytes.int()?).filter(|_| has_first);
        model.last_ns = bytes.int()?;
        model.rebased_ns = bytes.int()?;
        let is_held = bytes.int()? != 0;
        model.held_ns = Some(bytes.int()?).filter(|_| is_held);
        model.novel_from = bytes.int()?.cast_unsigned();
        model.count = bytes.int()?.cast_unsigned();
        for season in [&mut model.seasons.day, &mut model.seasons.week, &mut model.seasons.month] {
            *season = slots(&mut bytes, season.as_ref())?;
        }
        for known in [&mut model.fast, &mut model.slow, &mut model.line, &mut model.apart, &mut model.course] {
            *known = level(&mut bytes, known)?;
        }
        model.recent = bytes.many(In::float)?;
        for seen in &mut model.seen {
            let resolution = bytes.float()?;
            let bins = bytes.many(|bytes| Ok((bytes.int()?, bytes.int()?)))?;
            *seen = Seen::from_parts(resolution, bins).ok_or(Corrupt)?;
        }
        (model.low, model.high) = (bytes.float()?, bytes.float()?);
        for at in 0..FEATURES {
            model.calibrations[at] = calibration(&mut bytes, clip_of(at))?;
        }
        model.widths = calibration(&mut bytes, CLIP_WIDTHS)?;
        if bytes.0.is_empty() && model.recent.len() <= RECENT { Ok(model) } else { Err(Corrupt) }
    }
}
