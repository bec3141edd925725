//! Owns the making of instruments from their descriptions: the macro `instruments!`, in which a crate lists what it
//! measures, each name once.
//! Never lets a name, its meaning or its buckets be said a second time.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts,
};

use crate::family::{Family, Kind};

/// What a value is kept in.
pub trait Instrument: Collector + Clone + 'static {
    /// The kind of metric that it makes.
    const KIND: Kind;

    /// A fresh one.
    ///
    /// # Errors
    /// When the description is not a valid one.
    fn make(family: &Family) -> prometheus::Result<Self>;
}

fn options(family: &Family) -> Opts {
    Opts::new(family.name, family.help.trim())
}

fn buckets(family: &Family) -> HistogramOpts {
    HistogramOpts::from(options(family)).buckets(family.buckets.to_vec())
}

macro_rules! instrument {
    ($($Type:ty: $kind:ident, $make:expr;)*) => {
        $(impl Instrument for $Type {
            const KIND: Kind = Kind::$kind;

            fn make(family: &Family) -> prometheus::Result<Self> {
                $make(family)
            }
        })*
    };
}

instrument! {
    IntCounter: Counter, |family| Self::with_opts(options(family));
    IntCounterVec: Counter, |family: &Family| Self::new(options(family), family.labels);
    IntGauge: Gauge, |family| Self::with_opts(options(family));
    IntGaugeVec: Gauge, |family: &Family| Self::new(options(family), family.labels);
    Gauge: Gauge, |family| Self::with_opts(options(family));
    GaugeVec: Gauge, |family: &Family| Self::new(options(family), family.labels);
    Histogram: Histogram, |family| Self::with_opts(buckets(family));
    HistogramVec: Histogram, |family: &Family| Self::new(buckets(family), family.labels);
}

/// The instrument of a family.
///
/// # Panics
/// When the description is not a valid one. The macro hands over literals, and whoever lists them makes the set in a test.
#[doc(hidden)]
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "a name that is no name is found by the first test that makes the set"
)]
pub fn made<I: Instrument>(family: Option<&Family>) -> I {
    let family = family.expect("a family for each field");
    I::make(family).expect("a valid name, labels and buckets")
}

/// Lists what a crate measures: a struct of instruments, made together and registered together.
///
/// ```
/// longhaul_telemetry::instruments! {
///     /// What a kitchen measures.
///     pub struct Kitchen {
///         /// Meals cooked.
///         meals: IntCounterVec = "kitchen_meals_total" ["kind"];
///         /// How long a meal takes.
///         cooking: Histogram = "kitchen_cooking_seconds" in longhaul_telemetry::SECONDS;
///     }
/// }
///
/// let kitchen = Kitchen::default();
/// kitchen.meals.with_label_values(&["soup"]).inc();
/// let registry = longhaul_telemetry::prometheus::Registry::new();
/// kitchen.register(&registry).unwrap();
/// assert_eq!(registry.gather().len(), Kitchen::FAMILIES.len());
/// ```
#[macro_export]
macro_rules! instruments {
    ($(#[$about:meta])* $vis:vis struct $Name:ident {
        $($(#[doc = $help:literal])+ $field:ident: $Type:ident = $name:literal
            $([$($label:literal),+])? $(in $buckets:expr)?;)+
    }) => {
        $(#[$about])*
        #[derive(Clone)]
        $vis struct $Name {
            $($(#[doc = $help])+ $field: $crate::prometheus::$Type,)+
        }

        impl $Name {
            /// What each is called, and what it tells.
            $vis const FAMILIES: &'static [$crate::Family] = &[$($crate::Family {
                name: $name,
                help: concat!($($help),+),
                kind: <$crate::prometheus::$Type as $crate::Instrument>::KIND,
                labels: &[$($($label),+)?],
                buckets: $crate::instruments!(@buckets $($buckets)?),
            }),+];

            /// Shows the set to whoever gathers from a registry.
            ///
            /// # Errors
            /// When the registry has metrics of the same names already.
            $vis fn register(&self, registry: &$crate::prometheus::Registry) -> $crate::prometheus::Result<()> {
                $(registry.register(Box::new(self.$field.clone()))?;)+
                Ok(())
            }
        }

        impl Default for $Name {
            /// A fresh set, in which nothing has been measured.
            fn default() -> Self {
                let mut families = Self::FAMILIES.iter();
                $(let $field = $crate::made(families.next());)+
                Self { $($field,)+ }
            }
        }

        impl std::fmt::Debug for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($Name)).finish_non_exhaustive()
            }
        }
    };
    (@buckets $buckets:expr) => { $buckets };
    (@buckets) => { &[] };
}
