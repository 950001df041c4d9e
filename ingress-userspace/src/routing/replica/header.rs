//! Header names and values as bytes, for `#[serde(with)]`.

/// A [`HeaderValue`](http::HeaderValue).
pub(crate) mod value {
    use http::HeaderValue;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &HeaderValue, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(value.as_bytes())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<HeaderValue, D::Error> {
        HeaderValue::try_from(Vec::<u8>::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// An optional one.
pub(crate) mod optional {
    use http::HeaderValue;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<HeaderValue>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().map(HeaderValue::as_bytes).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<HeaderValue>, D::Error> {
        let bytes = Option::<Vec<u8>>::deserialize(from)?;
        bytes.map(HeaderValue::try_from).transpose().map_err(D::Error::custom)
    }
}

/// Fields in their order.
pub(crate) mod fields {
    use std::sync::Arc;

    use http::{HeaderName, HeaderValue};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        fields: &[(HeaderName, HeaderValue)],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Arc<[(HeaderName, HeaderValue)]>, D::Error> {
        let field = |(name, value): (String, Vec<u8>)| {
            let name = HeaderName::try_from(name).map_err(D::Error::custom)?;
            Ok((name, HeaderValue::try_from(value).map_err(D::Error::custom)?))
        };
        Vec::deserialize(from)?.into_iter().map(field).collect()
    }
}

/// A name and what is made of its value.
pub(crate) mod ruled {
    use http::HeaderName;
    use serde::de::{DeserializeOwned, Error};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer, T: Serialize>(
        ruled: &Option<(HeaderName, T)>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        ruled.as_ref().map(|(name, rule)| (name.as_str(), rule)).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: DeserializeOwned>(
        from: D,
    ) -> Result<Option<(HeaderName, T)>, D::Error> {
        let Some((name, rule)) = Option::<(String, T)>::deserialize(from)? else { return Ok(None) };
        Ok(Some((HeaderName::try_from(name).map_err(D::Error::custom)?, rule)))
    }
}
