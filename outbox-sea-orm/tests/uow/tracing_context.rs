//! Where an event was staged is where its consumers' spans belong.

use outbox_sea_orm::TraceContext;
use outbox_sea_orm::core::event::names;

use crate::fixtures::{Db, Thing, texts};

async fn headers(outbox: &outbox_sea_orm::Outbox) -> Vec<String> {
    texts(outbox, "SELECT headers FROM outbox_event ORDER BY seq").await
}

async fn stage(outbox: &outbox_sea_orm::Outbox) {
    let txn = outbox.begin().await.unwrap();
    txn.stage_event(&Thing::new("a")).unwrap();
    txn.commit().await.unwrap();
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn it_comes_from_a_closure() {
    let db = Db::sqlite().await.unwrap();
    let outbox = db
        .builder()
        .await
        .trace_context(|| Some(TraceContext::from((PARENT.to_owned(), Some("vendor=1")))))
        .ambient_headers(|headers| headers.set(names::TENANT_ID, "t1"))
        .build()
        .unwrap();
    stage(&outbox).await;
    let txn = outbox.begin().await.unwrap();
    txn.stage_event_with(&Thing::new("b"), |o| o.tenant_id("t2").header(names::TRACEPARENT, "mine")).unwrap();
    txn.commit().await.unwrap();
    assert_eq!(
        headers(&outbox).await,
        [
            format!(r#"[["traceparent","{PARENT}"],["tracestate","vendor=1"],["tenant-id","t1"]]"#),
            r#"[["traceparent","mine"],["tracestate","vendor=1"],["tenant-id","t2"]]"#.to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_context_that_no_header_can_carry_is_left_out() {
    let db = Db::sqlite().await.unwrap();
    let bad = || Some(TraceContext::new(PARENT).with_tracestate("line\nbreak"));
    let outbox = db.builder().await.trace_context(bad).build().unwrap();
    stage(&outbox).await;
    assert_eq!(headers(&outbox).await, [format!(r#"[["traceparent","{PARENT}"]]"#)]);
}

#[tokio::test]
async fn a_panicking_closure_is_a_staging_error() {
    let db = Db::sqlite().await.unwrap();
    let outbox = db.builder().await.ambient_headers(|_| panic!("on purpose")).build().unwrap();
    let txn = outbox.begin().await.unwrap();
    let error = txn.stage_event(&Thing::new("a")).unwrap_err();
    assert!(error.to_string().contains("source of ambient headers"), "{error}");
    txn.commit().await.unwrap();
}

#[cfg(feature = "opentelemetry")]
mod opentelemetry_feature {
    use opentelemetry::Context;
    use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider};
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn remote(sampled: bool) -> Context {
        Context::new().with_remote_span_context(SpanContext::new(
            TraceId::from_hex("0af7651916cd43dd8448eb211c80319c").unwrap(),
            SpanId::from_hex("b7ad6b7169203331").unwrap(),
            if sampled { TraceFlags::SAMPLED } else { TraceFlags::default() },
            true,
            TraceState::from_key_value([("vendor", "1")]).unwrap(),
        ))
    }

    #[tokio::test]
    async fn it_comes_from_opentelemetry() {
        let db = Db::sqlite().await.unwrap();
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        txn.stage_event(&Thing::new("a")).unwrap();
        {
            let _guard = remote(true).attach();
            txn.stage_event(&Thing::new("b")).unwrap();
        }
        txn.commit().await.unwrap();
        let quiet = db.builder().await.without_trace_context().build().unwrap();
        let txn = quiet.begin().await.unwrap();
        {
            let _guard = remote(false).attach();
            txn.stage_event(&Thing::new("c")).unwrap();
        }
        txn.commit().await.unwrap();
        let carried = format!(r#"[["traceparent","{PARENT}"],["tracestate","vendor=1"]]"#);
        assert_eq!(headers(&outbox).await, ["[]".to_owned(), carried, "[]".to_owned()]);
    }

    #[tokio::test]
    async fn it_comes_from_a_tracing_span() {
        let db = Db::sqlite().await.unwrap();
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info_span!("handler").in_scope(|| txn.stage_event(&Thing::new("a")).unwrap());
        });
        txn.commit().await.unwrap();
        let headers = headers(&outbox).await.remove(0);
        assert!(headers.starts_with(r#"[["traceparent","00-"#) && headers.contains(r#"-01"]"#), "{headers}");
    }
}
