//! Certificates and keys that the server cannot use, each with its reason.

use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::super::{TlsError, server_config};

/// Name, certificate, key (of this test alone), and a part of the reason.
const UNUSABLE: [(&str, &str, &str, &str); 4] = [
    (
        "P-521",
        "-----BEGIN CERTIFICATE-----\n\
MIIB9zCCAVigAwIBAgIUM1VETcYepz2gRcqbXvlUW18/sFcwCgYIKoZIzj0EAwIw\n\
DDEKMAgGA1UEAwwBaDAgFw0yNjExMzAwMzQ3NTFaGA8yMTI2MTEwNjAzNDc1MVow\n\
DDEKMAgGA1UEAwwBaDCBmzAQBgcqhkjOPQIBBgUrgQQAIwOBhgAEAGUG5xA4aezk\n\
MBpbgiNvO3i1JMlgYWFtKyaz3t46xYvsgfXqRNpwaoEnzMYGHCt25VkuZhRBxc6h\n\
JUKKGJMwVeCfAd7qG4trQ7qGt1/uBvEcDE5SZ4ndPmh1rWSTx28oOtbMHfIT1eWF\n\
k4TxJefYYO/FSz/jRi5zFqTcC+sS+G6ECouXo1MwUTAdBgNVHQ4EFgQUnkLwF6YQ\n\
6s+7iy4Rklx0oBwqxLIwHwYDVR0jBBgwFoAUnkLwF6YQ6s+7iy4Rklx0oBwqxLIw\n\
DwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgOBjAAwgYgCQgCDq6vflRqy5Occ\n\
WN9N9z3XbBie5vTbx5Nc0C7CEDR3jmJ6cexhcfi48V16Bp9udSRCY3eBOodYm3tI\n\
SusrTxK45wJCAJVOnGztSIerKcn+WOoYVFfIL2UAjyvSvNT1nGD2iFGF+K8K7YPo\n\
0Ns0EeZh2r34841Hsz6/W/c2p1SPxmn5TrZb\n\
-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----\n\
MIHuAgEAMBAGByqGSM49AgEGBSuBBAAjBIHWMIHTAgEBBEIAzZVxvDf5QFZDNcK7\n\
rDVne3BlJaX42jCn0JI2iY4igOi2+l40pwfmwyYmCzxT/YZ+FETOkkGqNjPzIre9\n\
zpbb1HKhgYkDgYYABABlBucQOGns5DAaW4Ijbzt4tSTJYGFhbSsms97eOsWL7IH1\n\
6kTacGqBJ8zGBhwrduVZLmYUQcXOoSVCihiTMFXgnwHe6huLa0O6hrdf7gbxHAxO\n\
UmeJ3T5oda1kk8dvKDrWzB3yE9XlhZOE8SXn2GDvxUs/40Yucxak3AvrEvhuhAqL\n\
lw==\n\
-----END PRIVATE KEY-----",
        "a private key that cannot be used",
    ),
    (
        "RSA of 1024 bits",
        "-----BEGIN CERTIFICATE-----\n\
MIIB9jCCAV+gAwIBAgIUB9C2SD2yF0EWK9/E5HajmcqapjQwDQYJKoZIhvcNAQEL\n\
BQAwDDEKMAgGA1UEAwwBaDAgFw0yNjExMzAwMzQ3NTFaGA8yMTI2MTEwNjAzNDc1\n\
MVowDDEKMAgGA1UEAwwBaDCBnzANBgkqhkiG9w0BAQEFAAOBjQAwgYkCgYEAxwP4\n\
pNDJov0qcpqyNrx7RmqqKdylMv59chCXZH+129OVdmd1QC1IXzjXAtthaKgzUbOT\n\
bQYlht7DsebayWvzq3rr+piAL07J98nGyEK8DizVGlpX8kXOs6NQ6ty7fthu508+\n\
dftGK8sAgNI4MjdJGNHU3doWSMC3cI7cmnKIESMCAwEAAaNTMFEwHQYDVR0OBBYE\n\
FLm69pdzlqotVS4+IcMs5f1mx3atMB8GA1UdIwQYMBaAFLm69pdzlqotVS4+IcMs\n\
5f1mx3atMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQELBQADgYEAD/2mj98K\n\
J+9NptnWBFkveguppz2rgdEGmtLYiaQ+8A6q1KJVZc+yocBDSKPXxjRN3WdjTP3F\n\
+eawjmgTAWPQoqOmN4+m5g6sJtqHGbVxUt6jEqsmtDFSxCSNkc8yTCzB5RAWPsps\n\
+WvOGIy/IMtQbm6Co7VFHjobO2/LlSybBjg=\n\
-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----\n\
MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBAMcD+KTQyaL9KnKa\n\
sja8e0ZqqincpTL+fXIQl2R/tdvTlXZndUAtSF841wLbYWioM1Gzk20GJYbew7Hm\n\
2slr86t66/qYgC9OyffJxshCvA4s1RpaV/JFzrOjUOrcu37YbudPPnX7RivLAIDS\n\
ODI3SRjR1N3aFkjAt3CO3JpyiBEjAgMBAAECgYEAvYwPvlJJKZ58Vkj2YeGke83N\n\
oi9PfEEck44v0v075VIg8XPaHbTDUEYfqs3tebNxpWgmitkm1szGkGMykFLr8QEU\n\
r8T0eph14miSsMcHDnd0hufvoxcO0jBXqSyvKXQ6FxYhF5uk1pVKjwVdH6D10iaS\n\
q6z/yhQPYMAG5TgWzSECQQDx6NKW7VbzBytGeJlsM9kdmFUJYgU3Kib0kVJCIz+h\n\
g1HKfwLDQ/zleqOVFMgKcWNXaJC4qVGga6kZCesp4NcTAkEA0puLnLaKbfodJaGG\n\
O+33kgyCVOhx40N2UlJhS9X1d5mQjhgRejGX7TdlhZElPWsUvOPDbRjb/hKgypgy\n\
7YnPsQJBALikAojcYu9gW3GQf1oNQPzL1qwwutZeQBmQCf8dNGYs+3LZ+tvbut3U\n\
+6LAl+cQoMiIsV2hLwKI6iqIXYw7Zy0CQEse0B2Fvrqbi+nwQ0D9EGE3tQU0I+s8\n\
FOgoGixClNukGruUOierqNUj/UI3E2Fk4HC/jOVNCKsHWfLpdsDjdwECQDe9KVvx\n\
QfrXAkFxwdtMOGn4BWkscvekd7dQ7/Q1IiTEbzvdrWmyoBUFHfZbb2ddKXu/6M1m\n\
PxkFtprhiblBQcs=\n\
-----END PRIVATE KEY-----",
        "a private key that cannot be used",
    ),
    (
        "Ed448",
        "-----BEGIN CERTIFICATE-----\n\
MIIBeTCB+qADAgECAhR0x6tVUVxeURo2aYHPIU3hcdWbzDAFBgMrZXEwDDEKMAgG\n\
A1UEAwwBaDAgFw0yNjExMzAwMzQ3NTFaGA8yMTI2MTEwNjAzNDc1MVowDDEKMAgG\n\
A1UEAwwBaDBDMAUGAytlcQM6AGUkd+7wveSLHj3p0g5ETL7btO27TZBtk7kwtog7\n\
mjHzAiFJvj83Nc2OHlEnNf/iVVK3fbbSYXRggKNTMFEwHQYDVR0OBBYEFNMJIXuN\n\
8rTtugPz5EN8VOpA46ZQMB8GA1UdIwQYMBaAFNMJIXuN8rTtugPz5EN8VOpA46ZQ\n\
MA8GA1UdEwEB/wQFMAMBAf8wBQYDK2VxA3MAzY6wd2lf6Y3qjUl0XJWgREzctrDE\n\
j2eZyvwb7KzgziVMIrsyEnRs3tMaok7uvN5pczLtGSRYiXGAUaB+XXlp2xT8NQfV\n\
LaSCC5Tn+o3AOFFPZo/C74Uk1/41RZQ17AcimKiihy++Us5hWbiBHMIACyIA\n\
-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----\n\
MEcCAQAwBQYDK2VxBDsEOaTjiVNdjl+TGX0oXxpGkTt5T5eOffWtvytKJfyC6Ydq\n\
jG4lr1DN3tnZgPUnEWHegSij+KbogmCifg==\n\
-----END PRIVATE KEY-----",
        "a private key that cannot be used",
    ),
    (
        "version 1",
        "-----BEGIN CERTIFICATE-----\n\
MIIBFDCBuwIUP3EFxNpqKajMFsdWh1y9pIcGplcwCgYIKoZIzj0EAwIwDDEKMAgG\n\
A1UEAwwBaDAgFw0yNjExMzAwMzQ3NTFaGA8yMTI2MTEwNjAzNDc1MVowDDEKMAgG\n\
A1UEAwwBaDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAGYMv0UNF8mOftON5Sn\n\
74Zv3bAhdeBIVqZOVz5+EBP0jNrdyVIp7sSpbqV0/Pc623jSjAOZ07Jy2QPsnFDw\n\
/hwwCgYIKoZIzj0EAwIDSAAwRQIhAMQEDh0ra2tqUnx0eHzNVBCKjHF7dZ1BVenc\n\
5cRA+ANlAiAStbyrwUaUeSLsW/ttvRFTDYEBItSar7OS94cvsNPTfg==\n\
-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgcke4l1hOgpb9uJEJ\n\
SuRfZ0DxquOTUYbpPrcH+Ed76H6hRANCAAQBmDL9FDRfJjn7TjeUp++Gb92wIXXg\n\
SFamTlc+fhAT9Iza3clSKe7EqW6ldPz3Ott40owDmdOyctkD7JxQ8P4c\n\
-----END PRIVATE KEY-----",
        "not one of X.509 version 3",
    ),
];

#[test]
fn each_kind_that_cannot_be_used_has_its_reason() {
    for (name, certificate, key, reason) in UNUSABLE {
        let error = server_config(certificate.as_bytes(), key.as_bytes(), None).unwrap_err();
        assert!(error.to_string().contains(reason), "{name}: {error}");
        assert!(!error.to_string().contains("unexpected error"), "{name}: {error}");
        assert_eq!(matches!(error, TlsError::KeyKind(_)), reason.contains("key"), "{name}");
    }
}

/// Both forms of openssl. One was a base64 error, the other one a file without a key.
#[test]
fn key_with_a_password_is_called_so() {
    let CertifiedKey { cert, .. } = generate_simple_self_signed(["h".to_owned()]).unwrap();
    for key in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGH\n-----END ENCRYPTED PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIGH\n-----END RSA PRIVATE KEY-----",
    ] {
        let error = server_config(cert.pem().as_bytes(), key.as_bytes(), None).unwrap_err().to_string();
        assert!(error.ends_with("it has a password"), "{error}");
    }
}

#[test]
fn key_of_another_certificate_is_a_mismatch() {
    let pair = || generate_simple_self_signed(["h".to_owned()]).unwrap();
    let (CertifiedKey { cert, .. }, CertifiedKey { signing_key, .. }) = (pair(), pair());
    let error =
        server_config(cert.pem().as_bytes(), signing_key.serialize_pem().as_bytes(), None).unwrap_err();
    assert!(matches!(error, TlsError::Mismatch), "{error}");
    assert!(error.to_string().ends_with("the key is that of another one"), "{error}");
}
