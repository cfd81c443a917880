//! An Endpoint of a document as the plan of a client.

use floodmark_http::client::{Authorization, BasicAuth, Endpoint, Header, Secret, Tls};

use crate::{Files, ReceiverAt, certificate, secret};

/// `receiver` stands in where the endpoint has no URL, with all that its document demands of clients and the endpoint does not say itself.
/// `field` is the endpoint's own, for messages. Nothing is opened or read.
///
/// # Errors
/// A reference without a file.
pub fn endpoint<F: Files>(
    endpoint: &api::Endpoint,
    receiver: Option<ReceiverAt<'_>>,
    field: &str,
    files: &F,
) -> Result<Endpoint, F::Error> {
    let kept = |key: &api::SecretKey, part: &str| secret(files, key, &format!("{field}.{part}")).map(Secret::File);
    let receiver = receiver.filter(|_| endpoint.url.is_none());
    let target = receiver.map(ReceiverAt::write_url).or_else(|| endpoint.url.clone()).unwrap_or_default();
    let mut plan = Endpoint::new(target).with_timeout(endpoint.request_timeout.0);
    plan.user_agent.clone_from(&endpoint.user_agent);
    for (index, header) in endpoint.headers.iter().enumerate() {
        let value = match &header.value_from {
            Some(source) => kept(&source.secret, &format!("headers[{index}].valueFrom"))?,
            None => Secret::Value(header.value.clone().unwrap_or_default()),
        };
        plan.headers.push(Header { name: header.name.clone(), value });
    }
    if let Some(basic) = &endpoint.basic_auth {
        plan.basic_auth = Some(BasicAuth {
            username: kept(&basic.username, "basicAuth.username")?,
            password: Some(kept(&basic.password, "basicAuth.password")?),
        });
    }
    if let Some(authorization) = &endpoint.authorization {
        plan.authorization = Some(Authorization {
            scheme: authorization.r#type.clone(),
            credentials: kept(&authorization.credentials, "authorization.credentials")?,
        });
    }
    if let Some(tls) = &endpoint.tls_config {
        plan.tls = Tls {
            ca_file: certificate(files, tls.ca.as_ref(), &format!("{field}.tlsConfig.ca"))?,
            cert_file: certificate(files, tls.cert.as_ref(), &format!("{field}.tlsConfig.cert"))?,
            key_file: match &tls.key_secret {
                Some(key) => Some(secret(files, key, &format!("{field}.tlsConfig.keySecret"))?),
                None => None,
            },
            server_name: tls.server_name.clone(),
            insecure_skip_verify: tls.insecure_skip_verify,
        };
    }
    if let Some(receiver) = receiver {
        if endpoint.tls_config.is_none() {
            plan.tls = receiver.tls();
        }
        if plan.basic_auth.is_none() && plan.authorization.is_none() {
            plan.basic_auth = receiver.basic_auth(files)?;
        }
    }
    Ok(plan)
}
