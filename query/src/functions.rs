//! The functions that SQL can call: DataFusion's, with ours added or put in their place.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::config::ConfigOptions;
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};

mod anomaly;
mod array_like;
mod average;
mod band_state;
mod bounded;
mod bucket;
mod business_time;
mod checked;
mod clocks;
mod counter;
mod extreme;
mod fill;
mod first_last;
mod gapfill;
mod interval;
mod last_of_other;
mod lengths;
mod missing;
mod named;
mod percentile;
mod period_detect;
mod process;
mod round;
mod scaled;
mod series;
mod similar;
mod states;
mod sum;
mod text;
mod tier_threshold;
mod time_bucket;
mod time_weighted;
mod zone;

pub use array_like::array_items;
pub(crate) use array_like::{ARRAY_LIKE, list_of};
pub(crate) use average::ExactAverages;
pub(crate) use bucket::{Bucketing, Grid, Width};
pub(crate) use business_time::{BUSINESS_TIME, BusinessTime};
pub(crate) use checked::CheckedIntegers;
pub(crate) use clocks::Clocks;
pub(crate) use counter::{Asked, Counter, PerSecond, Step, Steps, step_name};
pub(crate) use extreme::{OrderedFloats, greatest_float, least_float};
pub(crate) use fill::{Fill, Method, column_name};
pub(crate) use first_last::{End, FirstLast};
pub(crate) use gapfill::{Gap, GapFunction, refused};
pub(crate) use interval::parse_interval;
pub(crate) use last_of_other::LastOfOther;
pub(crate) use lengths::IntervalsByLength;
pub(crate) use missing::{Missing, no_such_function};
pub(crate) use named::argument_names;
pub(crate) use percentile::ApproxPercentile;
pub(crate) use round::IntegersByRounding;
pub(crate) use scaled::IntervalOperators;
pub(crate) use similar::{distance, most_similar};
pub(crate) use sum::{ExactSums, SUM_OF_INTEGERS};
pub(crate) use text::TextAsPostgres;
pub(crate) use tier_threshold::{TIER_THRESHOLD, TierThreshold};
pub(crate) use time_bucket::{TimeBucket, bucketing};

use array_like::ArrayLike;
use bounded::{Bounded, MULTIPLYING};

use time_bucket::DateBin;
use time_weighted::TimeWeightedAverage;
use zone::TimeZoneOf;

/// Functions of DataFusion that tell of DataFusion.
const HIDDEN: [&str; 1] = ["version"];

/// All functions by name and alias, lower case.
#[derive(Debug, Clone)]
pub(crate) struct Functions {
    pub(crate) scalars: HashMap<String, Arc<ScalarUDF>>,
    pub(crate) higher_order: HashMap<String, Arc<HigherOrderUDF>>,
    pub(crate) aggregates: HashMap<String, Arc<AggregateUDF>>,
    pub(crate) windows: HashMap<String, Arc<WindowUDF>>,
}

impl Functions {
    /// The functions of a session; some depend on its time zone.
    pub(crate) fn new(config: &ConfigOptions, time_zone: &Arc<str>) -> Functions {
        let mut functions = Functions {
            scalars: HashMap::new(),
            higher_order: HashMap::new(),
            aggregates: HashMap::new(),
            windows: HashMap::new(),
        };
        for function in SessionStateDefaults::default_scalar_functions() {
            functions.add_scalar(function.inner().with_updated_config(config).map_or(function, Arc::new));
        }
        for function in SessionStateDefaults::default_higher_order_functions() {
            for name in function.aliases().iter().map(String::as_str).chain([function.name()]) {
                functions.higher_order.insert(name.to_owned(), function.clone());
            }
        }
        for function in SessionStateDefaults::default_aggregate_functions() {
            functions.add_aggregate(function);
        }
        for function in SessionStateDefaults::default_window_functions() {
            for name in function.aliases().iter().map(String::as_str).chain([function.name()]) {
                functions.windows.insert(name.to_owned(), function.clone());
            }
        }
        for name in HIDDEN {
            functions.scalars.remove(name);
        }
        for name in MULTIPLYING {
            if let Some(function) = functions.scalars.get(name).cloned() {
                functions.add_scalar(Arc::new(ScalarUDF::from(Bounded::new(function))));
            }
        }
        functions.add_scalar(Arc::new(ArrayLike::udf()));
        functions.add_scalar(Arc::new(ScalarUDF::from(TimeBucket::new())));
        functions.add_scalar(Arc::new(ScalarUDF::from(DateBin::new())));
        functions.add_scalar(Arc::new(ScalarUDF::from(band_state::BandState::new())));
        series::scalars().for_each(|scalar| functions.add_scalar(Arc::new(scalar)));
        for gap in Gap::ALL {
            functions.add_scalar(Arc::new(ScalarUDF::from(GapFunction::new(gap))));
        }
        functions.add_scalar(Arc::new(ScalarUDF::from(TimeZoneOf::new(time_zone.clone()))));
        functions.add_aggregate(Arc::new(AggregateUDF::from(FirstLast::new(End::First))));
        functions.add_aggregate(Arc::new(AggregateUDF::from(FirstLast::new(End::Last))));
        functions.add_aggregate(Arc::new(AggregateUDF::from(ApproxPercentile::new())));
        functions.add_aggregate(Arc::new(AggregateUDF::from(period_detect::PeriodDetect::new())));
        process::aggregates().for_each(|aggregate| functions.add_aggregate(Arc::new(aggregate)));
        functions.add_aggregate(Arc::new(AggregateUDF::from(TimeWeightedAverage::new())));
        for window in anomaly::windows() {
            functions.windows.insert(window.name().to_owned(), Arc::new(window));
        }
        for asked in Asked::ALL {
            functions.add_aggregate(Arc::new(AggregateUDF::from(Counter::new(asked))));
            functions.windows.insert(step_name(asked).to_owned(), Arc::new(Steps::new(Step::From(asked)).into()));
        }
        functions
    }

    /// True when the name can be called in any way.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.scalars.contains_key(name)
            || self.higher_order.contains_key(name)
            || self.aggregates.contains_key(name)
            || self.windows.contains_key(name)
    }

    /// The name of the function that a name or an alias stands for.
    pub(crate) fn own_name(&self, name: &str) -> Option<&str> {
        let scalar = self.scalars.get(name).map(|f| f.name());
        let aggregate = || self.aggregates.get(name).map(|f| f.name());
        let window = || self.windows.get(name).map(|f| f.name());
        scalar.or_else(aggregate).or_else(window)
    }

    /// Every name that can be called.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.scalars.keys().chain(self.higher_order.keys());
        names.chain(self.aggregates.keys()).chain(self.windows.keys()).map(String::as_str)
    }

    fn add_scalar(&mut self, function: Arc<ScalarUDF>) {
        for name in function.aliases().iter().map(String::as_str).chain([function.name()]) {
            self.scalars.insert(name.to_owned(), function.clone());
        }
    }

    fn add_aggregate(&mut self, function: Arc<AggregateUDF>) {
        for name in function.aliases().iter().map(String::as_str).chain([function.name()]) {
            self.aggregates.insert(name.to_owned(), function.clone());
        }
    }
}
