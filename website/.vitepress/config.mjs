import { defineConfig } from 'vitepress'

export default defineConfig({
  title: 'Reeve',
  description: 'N Linux machines become one load balancer',
  cleanUrls: true,
  themeConfig: {
    search: { provider: 'local' },
    nav: [
      { text: 'Guide', link: '/guide/first' },
      { text: 'How it works', link: '/concepts/addresses' },
      { text: 'Reference', link: '/reference/cli' }
    ],
    sidebar: [
      {
        text: 'Guide',
        items: [
          { text: 'The first proxy', link: '/guide/first' },
          { text: 'Three nodes on one machine', link: '/guide/cluster' },
          { text: 'Three machines', link: '/guide/machines' },
          { text: 'Coming from keepalived', link: '/guide/keepalived' }
        ]
      },
      {
        text: 'How it works',
        items: [
          { text: 'Who owns an address', link: '/concepts/addresses' },
          { text: 'How a change is made', link: '/concepts/changes' },
          { text: 'Certificates', link: '/concepts/certificates' },
          { text: 'Security', link: '/concepts/security' },
          { text: 'HTTP', link: '/concepts/http' },
          { text: 'TCP, UDP and sockets', link: '/concepts/tcp' },
          { text: 'TLS', link: '/concepts/tls' },
          { text: 'Balancing', link: '/concepts/balancing' },
          { text: 'Bounds', link: '/concepts/bounds' },
          { text: 'Performance', link: '/concepts/performance' },
          { text: 'Limits', link: '/concepts/limits' }
        ]
      },
      {
        text: 'Reference',
        items: [
          { text: 'Command line', link: '/reference/cli' },
          { text: 'Configuration', link: '/reference/config' },
          { text: 'Linter', link: '/reference/lint' },
          { text: 'HTTP interface', link: '/reference/api' }
        ]
      }
    ]
  }
})
