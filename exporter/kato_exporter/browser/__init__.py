"""The record browser: find and read what KATO keeps in its stores."""
