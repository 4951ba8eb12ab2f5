//! HTTP/1.1 heads, forms, responses and the upgrade.
