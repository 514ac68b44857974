//! What tells clients without being asked: `LISTEN` and `NOTIFY`, and each change of an alert or an incident.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::ops::{Row, Table, Value, incident};

/// Notifications that a listener may be behind before the oldest are lost to it.
const WAITING_MAX: usize = 4096;

/// Longest payload in bytes, as PostgreSQL has it.
pub const PAYLOAD_BYTES_MAX: usize = 7999;

/// What a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The connection that sent it; 0 is the database itself.
    pub pid: i32,
    /// The channel: `alert` and `incident` are the database's own.
    pub channel: String,
    /// Text; for the database's own an object in JSON.
    pub payload: String,
}

/// Those who listen.
#[derive(Debug)]
pub(crate) struct Listeners(broadcast::Sender<Arc<Notification>>);

impl Default for Listeners {
    fn default() -> Listeners {
        Listeners(broadcast::channel(WAITING_MAX).0)
    }
}

impl Listeners {
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Notification>> {
        self.0.subscribe()
    }

    pub(crate) fn send(&self, notification: Notification) {
        // Nobody listens: then nobody is told.
        let _ = self.0.send(Arc::new(notification));
    }

    /// True when somebody would hear.
    pub(crate) fn is_heard(&self) -> bool {
        self.0.receiver_count() > 0
    }
}

/// What listeners are told of a row that was written; `None` for tables that nobody is told of.
pub(crate) fn of_row(table: &'static Table, row: &Row) -> Option<Notification> {
    let channel = match table.name {
        "alert_event" => "alert",
        "incident_event" => "incident",
        _ => return None,
    };
    let mut payload = told(table, row, |_| true);
    if payload.len() > PAYLOAD_BYTES_MAX {
        payload = told(table, row, |column| !matches!(column, "detail" | "labels" | "cause"));
    }
    Some(Notification { pid: 0, channel: channel.to_owned(), payload })
}

fn told(table: &'static Table, row: &Row, is_told: impl Fn(&str) -> bool) -> String {
    let columns = table.columns.iter().zip(row).filter(|(column, _)| is_told(column.name));
    let object: serde_json::Map<String, serde_json::Value> = columns
        .filter_map(|(column, value)| {
            let value = match value.as_ref()? {
                Value::Text(text) => serde_json::from_str(text)
                    .ok()
                    .filter(|json: &serde_json::Value| json.is_object())
                    .unwrap_or_else(|| text.as_str().into()),
                Value::Integer(number) => (*number).into(),
                Value::Float(number) => (*number).into(),
                Value::Boolean(truth) => (*truth).into(),
                Value::Time(ns) => incident::rfc3339(*ns).into(),
            };
            Some((column.name.to_owned(), value))
        })
        .collect();
    serde_json::Value::Object(object).to_string()
}
