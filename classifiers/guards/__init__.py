"""Guard models of other makers: what each family is asked, what it answers, and which servers it stands behind."""
