"""What SDKs can do through the gateway, as data: one list of cases is the tests, and the tables of docs/sdk.md."""
