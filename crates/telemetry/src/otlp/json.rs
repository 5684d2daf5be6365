//! The JSON encoding: ids in hexadecimal, whole numbers of 64 bits as texts, names in camelCase, enums as numbers.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::span::{Attribute, Span, Status};

/// An `ExportTraceServiceRequest`.
pub(super) fn request(resource: &[(String, Attribute)], spans: &[Span]) -> Vec<u8> {
    let attributes: Vec<Value> = resource
        .iter()
        .map(|(name, value)| attribute(name, value))
        .collect();
    let spans: Vec<Value> = spans.iter().map(span).collect();
    let request = json!({
        "resourceSpans": [{
            "resource": { "attributes": attributes },
            "scopeSpans": [{
                "scope": { "name": "bastide", "version": env!("CARGO_PKG_VERSION") },
                "spans": spans,
            }],
        }],
    });
    request.to_string().into_bytes()
}

fn span(span: &Span) -> Value {
    let attributes: Vec<Value> = span
        .attributes
        .iter()
        .map(|(name, value)| attribute(name, value))
        .collect();
    let mut json = json!({
        "traceId": span.trace.to_text().as_str(),
        "spanId": format!("{:016x}", span.id),
        "name": span.name,
        "kind": span.kind as u8,
        "startTimeUnixNano": nanos(span.start),
        // A clock that was set back makes no negative time.
        "endTimeUnixNano": nanos(span.end.max(span.start)),
        "attributes": attributes,
        "status": match &span.status {
            Status::Unset => json!({}),
            Status::Ok => json!({ "code": 1 }),
            Status::Error(message) => json!({ "code": 2, "message": message }),
        },
    });
    if let Some(parent) = span.parent {
        json["parentSpanId"] = format!("{parent:016x}").into();
    }
    json
}

fn nanos(at: Timestamp) -> String {
    at.as_nanosecond().max(0).to_string()
}

fn attribute(name: &str, value: &Attribute) -> Value {
    let value = match value {
        Attribute::Text(text) => json!({ "stringValue": text }),
        Attribute::Bool(value) => json!({ "boolValue": value }),
        Attribute::Int(value) => json!({ "intValue": value.to_string() }),
        Attribute::Float(value) => json!({ "doubleValue": double(*value) }),
    };
    json!({ "key": name, "value": value })
}

/// JSON has no numbers for these three.
fn double(value: f64) -> Value {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.into()
    } else {
        value.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RequestId;
    use crate::otlp::Kind;

    #[test]
    fn s13_a_request_is_what_the_protocol_says() {
        let trace = RequestId::parse(b"5b8efff798038103d269b633813fc60c").unwrap();
        let root = Span {
            trace,
            id: 0xeee1_9b7e_c3c1_b174,
            parent: None,
            name: "root".into(),
            kind: Kind::Server,
            start: Timestamp::from_nanosecond(1_544_712_660_000_000_001).unwrap(),
            end: Timestamp::from_nanosecond(1_544_712_661_000_000_000).unwrap(),
            attributes: vec![
                ("text".into(), "some value".into()),
                ("int".into(), i64::MAX.into()),
                ("float".into(), 0.5.into()),
                ("nan".into(), f64::NAN.into()),
                ("bool".into(), true.into()),
            ],
            status: Status::Error("it broke".into()),
        };
        let child = Span {
            id: 7,
            parent: Some(root.id),
            end: Timestamp::UNIX_EPOCH,
            attributes: Vec::new(),
            status: Status::Unset,
            kind: Kind::Client,
            ..root.clone()
        };
        let resource = [("service.name".to_owned(), "media".into())];
        let json: Value = serde_json::from_slice(&request(&resource, &[root, child])).unwrap();
        let expected = json!({"resourceSpans": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "media"}}]},
            "scopeSpans": [{
                "scope": {"name": "bastide", "version": env!("CARGO_PKG_VERSION")},
                "spans": [
                    {
                        "traceId": "5b8efff798038103d269b633813fc60c",
                        "spanId": "eee19b7ec3c1b174",
                        "name": "root",
                        "kind": 2,
                        "startTimeUnixNano": "1544712660000000001",
                        "endTimeUnixNano": "1544712661000000000",
                        "attributes": [
                            {"key": "text", "value": {"stringValue": "some value"}},
                            {"key": "int", "value": {"intValue": "9223372036854775807"}},
                            {"key": "float", "value": {"doubleValue": 0.5}},
                            {"key": "nan", "value": {"doubleValue": "NaN"}},
                            {"key": "bool", "value": {"boolValue": true}},
                        ],
                        "status": {"code": 2, "message": "it broke"},
                    },
                    {
                        "traceId": "5b8efff798038103d269b633813fc60c",
                        "spanId": "0000000000000007",
                        "parentSpanId": "eee19b7ec3c1b174",
                        "name": "root",
                        "kind": 3,
                        "startTimeUnixNano": "1544712660000000001",
                        "endTimeUnixNano": "1544712660000000001",
                        "attributes": [],
                        "status": {},
                    },
                ],
            }],
        }]});
        assert_eq!(json, expected);
    }
}
